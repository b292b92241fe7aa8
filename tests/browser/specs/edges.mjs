import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiToken, createMeeting } from '../lib/api.mjs';
import { until } from '../lib/deadline.mjs';
import { join } from './guests.mjs';
import { mesh } from './mesh.mjs';

/**
 * How long a picture may stand still at a drain, in milliseconds. It is 100 to 300 where two browsers and a
 * whole mesh have a machine for themselves, and as long as the machine is late where they do not; media
 * that has to find its way anew takes as long again. That something plays all the time is asked besides.
 */
const GAP_MS = 3_000;

/** How long an edge waits for who lost its socket, in milliseconds. */
const RESUME_MS = 30_000;

/** The mesh as the coordinator sees it. */
async function state() {
  const answer = await fetch(`${mesh().coordinator}/v1/ops/state`, {
    headers: { authorization: `Bearer ${apiToken()}` },
  });
  return answer.json();
}

// Runs last: the mesh is not what it was afterwards.
test('who is at an edge that goes away goes on at another, drained or killed', async (t) => {
  // Who left without a word counts for as long as it could come back, and keeps the edge in trees.
  await until(
    'nobody to be at the edge',
    async () => (await state()).edges.find(({ edge }) => edge === 'paris-1').participants === 0,
    RESUME_MS + 15_000,
  );
  const meeting = await createMeeting(mesh());
  const ada = await join(t, meeting, { name: 'Ada', region: 'paris', colour: 'red' });
  const bo = await join(t, meeting, { name: 'Bo', region: 'singapore', colour: 'green' });
  await ada.press('microphone');
  for (const guest of [ada, bo]) await guest.press('hand');
  assert.equal(await bo.seesPictureOf('Ada'), 'red');
  assert.equal(await ada.seesPictureOf('Bo'), 'green');

  await t.test('a drained edge sends everybody to the next, and nobody sees a gap', async (t) => {
    const gaps = [
      ['Ada', 'Bo', await ada.watchPicturesOf('Bo')],
      ['Bo', 'Ada', await bo.watchPicturesOf('Ada')],
    ];
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
      const trees = (await state()).rooms.find(({ room }) => room === meeting.id).trees;
      return !trees.some(
        (tree) =>
          tree.root === 'paris-1' || tree.branches.some((branch) => branch.edge === 'paris-1'),
      );
    });
    for (const [viewer, name, seen] of gaps) {
      const { gapMs, blanks } = await seen();
      t.diagnostic(`${viewer} had no new picture of ${name} for at most ${gapMs} ms`);
      assert.equal(blanks, 0, `${viewer} had nothing of ${name} to play`);
      assert.ok(gapMs < GAP_MS, `${viewer} had no new picture of ${name} for ${gapMs} ms`);
    }
  });

  await t.test('who was at an edge that died notices, and goes to the next', async (t) => {
    const began = Date.now();
    process.kill(mesh().edge('singapore').pid, 'SIGKILL');
    const region = await elsewhere(ada, 'Bo', ['singapore']);
    t.diagnostic(`Bo is in ${region} after ${Date.now() - began} ms`);
    await goesOn(t, began);
  });

  /** All is as it was: pictures both ways, what both said of themselves, one tile each. */
  async function goesOn(t, began) {
    for (const guest of [ada, bo]) await guest.inState('connected');
    assert.equal(await ada.seesPictureOf('Bo'), 'green');
    assert.equal(await bo.seesPictureOf('Ada'), 'red');
    t.diagnostic(`both see each other move after ${Date.now() - began} ms`);
    for (const [viewer, name, muted] of [
      [bo, 'Ada', true],
      [ada, 'Bo', false],
    ]) {
      await until(`one tile of ${name} to be left`, async () => {
        const tiles = (await viewer.sees()).filter((tile) => tile.label.startsWith(name));
        return tiles.length === 1;
      });
      const tile = await viewer.seesTileOf(name);
      assert.deepEqual({ muted: tile.muted, hand: tile.hand }, { muted, hand: true });
    }
  }
});

/** The region in which somebody is seen, once it is none of these. */
function elsewhere(viewer, name, regions) {
  return until(`${name} to be elsewhere than in ${regions.join(' and ')}`, async () => {
    const tiles = (await viewer.sees()).filter((tile) => tile.label.startsWith(name));
    return tiles.map((tile) => tile.region).find((region) => !regions.includes(region));
  });
}
