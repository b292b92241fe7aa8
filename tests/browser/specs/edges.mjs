import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiToken, createMeeting } from '../lib/api.mjs';
import { until } from '../lib/deadline.mjs';
import { join } from './guests.mjs';
import { mesh } from './mesh.mjs';

// Runs last: the mesh is not what it was afterwards.
test('who is at an edge that goes away goes on at another, drained or killed', async (t) => {
  const meeting = await createMeeting(mesh());
  const ada = await join(t, meeting, { name: 'Ada', region: 'paris', colour: 'red' });
  const bo = await join(t, meeting, { name: 'Bo', region: 'singapore', colour: 'green' });
  await ada.press('microphone');
  await ada.press('hand');
  assert.equal(await bo.seesPictureOf('Ada'), 'red');
  assert.equal(await ada.seesPictureOf('Bo'), 'green');

  await t.test('a drained edge sends everybody to the next', async (t) => {
    const began = Date.now();
    const answer = await fetch(`${mesh().coordinator}/v1/ops/edges/paris-1/drain`, {
      method: 'POST',
      headers: { authorization: `Bearer ${apiToken()}` },
    });
    assert.equal(answer.status, 202);
    const region = await elsewhere(bo, 'Ada', ['paris']);
    t.diagnostic(`Ada is in ${region} after ${Date.now() - began} ms`);
    await goesOn(t, began);
    await until('nothing to be left at the edge', async () => {
      const state = await (
        await fetch(`${mesh().coordinator}/v1/ops/state`, {
          headers: { authorization: `Bearer ${apiToken()}` },
        })
      ).json();
      const trees = state.rooms.flatMap((room) => room.trees);
      return !trees.some(
        (tree) =>
          tree.root === 'paris-1' || tree.branches.some((branch) => branch.edge === 'paris-1'),
      );
    });
  });

  await t.test('who was at an edge that died notices, and goes to the next', async (t) => {
    const { region } = await bo.seesTileOf('Ada');
    const began = Date.now();
    process.kill(mesh().edge(region).pid, 'SIGKILL');
    const next = await elsewhere(bo, 'Ada', ['paris', region]);
    t.diagnostic(`Ada is in ${next} after ${Date.now() - began} ms`);
    await goesOn(t, began);
  });

  /** All is as it was: pictures both ways, the muted microphone, the raised hand, one tile each. */
  async function goesOn(t, began) {
    await ada.inState('connected');
    assert.equal(await ada.seesPictureOf('Bo'), 'green');
    assert.equal(await bo.seesPictureOf('Ada'), 'red');
    t.diagnostic(`both see each other move after ${Date.now() - began} ms`);
    const { muted, hand } = await bo.seesTileOf('Ada');
    assert.deepEqual({ muted, hand }, { muted: true, hand: true });
    await until('one tile of Ada to be left', async () => {
      const tiles = (await bo.sees()).filter((tile) => tile.label.startsWith('Ada'));
      return tiles.length === 1;
    });
  }
});

/** The region in which somebody is seen, once it is none of these. */
function elsewhere(viewer, name, regions) {
  return until(`${name} to be elsewhere than in ${regions.join(' and ')}`, async () => {
    const tiles = (await viewer.sees()).filter((tile) => tile.label.startsWith(name));
    return tiles.map((tile) => tile.region).find((region) => !regions.includes(region));
  });
}
