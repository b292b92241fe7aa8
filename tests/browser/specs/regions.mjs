import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMeeting } from '../lib/api.mjs';
import { until } from '../lib/deadline.mjs';
import { join } from './guests.mjs';
import { mesh } from './mesh.mjs';

/** A raised hand reaches everybody within this time. Milliseconds. */
const HAND_MS = 500;

test('three regions meet: they see and hear one another, a hand is raised, one leaves', async (t) => {
  const meeting = await createMeeting(mesh());
  const ada = await join(t, meeting, { name: 'Ada', region: 'paris', colour: 'red' });
  const bo = await join(t, meeting, { name: 'Bo', region: 'singapore', colour: 'green' });

  await t.test('each is served by the edge of its own region', async () => {
    assert.equal((await ada.seesTileOf('Bo')).region, 'singapore');
    assert.equal((await bo.seesTileOf('Ada')).region, 'paris');
  });

  await t.test('both see the other’s own camera move', async () => {
    assert.equal(await ada.seesPictureOf('Bo'), 'green');
    assert.equal(await bo.seesPictureOf('Ada'), 'red');
  });

  await t.test('both hear the other', async () => {
    await ada.hears('Bo');
    await bo.hears('Ada');
  });

  await t.test('the statistics name the regions in between', async () => {
    await bo.press('statistics');
    const path = await until('the path of Ada’s media', () =>
      bo.tab.evaluate(
        () => document.querySelector('[data-participant^="pt_"] [data-testid=path]')?.textContent,
      ),
    );
    const regions = path.split(' → ');
    assert.equal(regions[0], 'Paris');
    assert.equal(regions.at(-1), 'Singapore');
    assert.ok(regions.length > 2, `Paris and Singapore have no link of their own: ${path}`);
  });

  const cleo = await join(t, meeting, { name: 'Cléo', region: 'virginia', colour: 'blue' });

  await t.test('the third finds the others, and they find it', async () => {
    assert.equal(await cleo.seesPictureOf('Ada'), 'red');
    assert.equal(await cleo.seesPictureOf('Bo'), 'green');
    assert.equal(await ada.seesPictureOf('Cléo'), 'blue');
    assert.equal(await bo.seesPictureOf('Cléo'), 'blue');
    await cleo.hears('Ada');
    await cleo.hears('Bo');
  });

  await t.test(`a raised hand reaches all within ${HAND_MS} ms`, async (t) => {
    const seen = await Promise.all([ada.watchHandOf('Bo'), cleo.watchHandOf('Bo')]);
    const raised = await bo.press('hand');
    const delays = (await Promise.all(seen.map((when) => when()))).map((at) => at - raised);
    t.diagnostic(`seen after ${delays.join(' and ')} ms`);
    assert.ok(Math.max(...delays) < HAND_MS, `seen after ${delays.join(' and ')} ms`);
  });

  await t.test('a muted microphone is shown, and silent', async () => {
    await ada.press('microphone');
    await until('Bo to see that Ada is muted', async () => (await bo.seesTileOf('Ada')).muted);
    await bo.hearsNothingOf('Ada');
  });

  await t.test('who leaves is gone from every stage', async () => {
    await bo.press('leave');
    await bo.inState('ended');
    await ada.missesTileOf('Bo');
    await cleo.missesTileOf('Bo');
    assert.equal(await ada.seesPictureOf('Cléo'), 'blue');
  });
});
