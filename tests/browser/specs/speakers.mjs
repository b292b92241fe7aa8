import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMeeting } from '../lib/api.mjs';
import { until } from '../lib/deadline.mjs';
import { join } from './guests.mjs';
import { mesh } from './mesh.mjs';

/** The names of those whom a page's edge hears, the dominant speaker first. */
const speakers = (participant) =>
  participant.tab.evaluate(() => window.sluice.room.speakers.map(({ name }) => name));

/** Whether somebody's tile is marked. */
const marked = (participant, name) =>
  participant.tab.evaluate(
    (whose) =>
      [...document.querySelectorAll('[data-testid=tile][data-speaking=true]')].some((tile) =>
        tile.getAttribute('aria-label').startsWith(whose),
      ),
    name,
  );

test('who speaks is marked in every region, and who falls silent no more', async (t) => {
  const meeting = await createMeeting(mesh());
  const ada = await join(t, meeting, { name: 'Ada', region: 'paris', colour: 'red', video: false });
  const bo = await join(t, meeting, {
    name: 'Bo',
    region: 'singapore',
    colour: 'green',
    video: false,
  });
  const cleo = await join(t, meeting, {
    name: 'Cléo',
    region: 'paris',
    colour: 'blue',
    audio: false,
    video: false,
  });
  await bo.press('microphone');

  await t.test('the one who speaks is, here and across an ocean', async () => {
    for (const one of [cleo, bo]) {
      await until(`${one.name} to see Ada speak`, () => marked(one, 'Ada'));
      assert.equal((await speakers(one))[0], 'Ada');
    }
    await until('Ada to see that it is heard', () => marked(ada, 'Ada'));
  });

  await t.test('who is muted is not', async () => {
    await until('Cléo to hear nobody but Ada', async () => !(await marked(cleo, 'Bo')));
    await ada.press('microphone');
    for (const one of [cleo, bo]) {
      await until(`${one.name} to see Ada silent`, async () => !(await marked(one, 'Ada')));
    }
  });

  await t.test('another one takes over', async () => {
    await bo.press('microphone');
    for (const one of [cleo, ada]) {
      await until(`${one.name} to see Bo speak`, () => marked(one, 'Bo'));
      await until(`Bo to dominate at ${one.name}`, async () => (await speakers(one))[0] === 'Bo');
    }
    assert.equal(await marked(cleo, 'Ada'), false);
  });
});
