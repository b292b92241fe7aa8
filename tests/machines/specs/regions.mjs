import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMeeting, join as ask } from '../../browser/lib/api.mjs';
import { until } from '../../browser/lib/deadline.mjs';
import { sees, world } from './world.mjs';

/** Runs in the page: notes whenever the page says something else of its connection. */
function keepStates() {
  window.states = [];
  new MutationObserver(() => {
    const { state } = document.documentElement.dataset;
    if (state && state !== window.states.at(-1)) window.states.push(state);
  }).observe(document, { attributes: true, subtree: true, attributeFilter: ['data-state'] });
}

/** What has been said since the last time. @param {import('../../browser/lib/participant.mjs').Participant} one */
const statesOf = (one) => one.tab.evaluate(() => window.states.splice(0));

test('a mesh grows by a region and loses another while a call goes on', async (t) => {
  const { deployment, clients } = world();
  const meeting = await createMeeting(deployment);
  const ada = await clients.Ada.join(t, meeting, { colour: 'red', before: keepStates });
  const bo = await clients.Bo.join(t, meeting, { colour: 'green', before: keepStates });
  await sees(ada, 'Bo', 'green');
  await sees(bo, 'Ada', 'red');
  assert.equal((await ada.seesTileOf('Bo')).region, 'virginia');
  await Promise.all([statesOf(ada), statesOf(bo)]);

  await t.test('a region is added: new machines, and a coordinator that knows of them', async () => {
    await deployment.describe(['paris', 'virginia', 'tokyo']);
    await deployment.putInForce();
    assert.deepEqual(await deployment.apply(), {
      hired: ['tokyo-1', 'turn-tokyo'],
      replaced: ['coordinator-1'],
      gone: [],
    });
    await registered('tokyo-1', 'paris-1', 'virginia-1');
  });

  await t.test('nobody in the call noticed', async () => {
    assert.deepEqual(await statesOf(ada), []);
    assert.deepEqual(await statesOf(bo), []);
    await sees(ada, 'Bo', 'green');
    await sees(bo, 'Ada', 'red');
  });

  const chie = await clients.Chie.join(t, meeting, { colour: 'blue', before: keepStates });

  await t.test('who is near to the new region is served there', async () => {
    assert.equal((await ada.seesTileOf('Chie')).region, 'tokyo');
    await sees(chie, 'Ada', 'red');
    await sees(chie, 'Bo', 'green');
    await sees(ada, 'Chie', 'blue');
    await sees(bo, 'Chie', 'blue');
    await chie.hears('Ada');
  });

  await t.test('a region is drained: its people go on in the next', async () => {
    await deployment.machine('virginia-1').service.stop();
    await until('Bo to be elsewhere', async () => {
      return (await ada.seesTileOf('Bo')).region === 'paris';
    }, 60_000);
    await bo.inState('connected');
    await sees(ada, 'Bo', 'green');
    await sees(chie, 'Bo', 'green');
    await sees(bo, 'Chie', 'blue');
    await chie.hears('Bo');
  });

  await t.test('the drained region is removed, and the call stays as it is', async () => {
    await Promise.all([ada, bo, chie].map(statesOf));
    await deployment.describe(['paris', 'tokyo']);
    await deployment.putInForce();
    assert.deepEqual(await deployment.apply(), {
      hired: [],
      replaced: ['coordinator-1'],
      gone: ['turn-virginia', 'virginia-1'],
    });
    await registered('tokyo-1', 'paris-1');
    for (const one of [ada, bo, chie]) assert.deepEqual(await statesOf(one), [], one.name);
    await sees(chie, 'Bo', 'green');
    await sees(bo, 'Ada', 'red');
    await bo.hears('Chie');
  });

  await t.test('nobody is sent to what is gone', async () => {
    const admission = await ask(deployment, meeting);
    const edges = [admission, ...admission.candidates].map(({ edge }) => edge);
    assert.deepEqual(edges.sort(), ['paris-1', 'tokyo-1']);
  });

  /** Waits until the coordinator knows exactly these edges. @param {string[]} edges */
  async function registered(...edges) {
    await until(`the coordinator to know ${edges.join(', ')}`, async () => {
      const answer = await fetch(`${deployment.coordinator}/metrics`);
      const [, count] = /^sluice_coordinator_edges (\d+)$/m.exec(await answer.text()) ?? [];
      return Number(count) === edges.length;
    }, 60_000);
  }
});
