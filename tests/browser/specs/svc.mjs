import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMeeting } from '../lib/api.mjs';
import { until } from '../lib/deadline.mjs';
import { received, sent, watched, watchFrames } from '../lib/figures.mjs';
import { join } from './guests.mjs';
import { mesh } from './mesh.mjs';

/** A change of layers is there within this time. Milliseconds. */
const SWITCH_MS = 15_000;

/**
 * The longest gap between pictures that come in, by their own clock. On a machine that has too much to
 * do an encoder skips pictures. Milliseconds.
 */
const FREEZE_MS = 1_000;

const LARGE = { width: 1500, height: 700 };
const MIDDLE = { width: 640, height: 420 };
const SMALL = { width: 420, height: 330 };

/** What Chromium sends as one stream of several picture sizes, and those sizes, lowest first. */
const STREAMS = [
  { codec: 'vp9', layers: 'L3T3_KEY', heights: [136, 270, 540] },
  { codec: 'vp9', layers: 'L2T2', heights: [270, 540] },
  { codec: 'av1', layers: 'L2T2', heights: [270, 540] },
];

/** Waits for a picture of a height, and for more of them; says what is sent when they do not come. */
async function gets(viewer, height, publisher) {
  let frames = Infinity;
  let last;
  await until(
    `${viewer.name} to get ${height} lines, and to decode on`,
    async () => {
      last = await received(viewer, 'Ada');
      if (last.height === height) frames = Math.min(frames, last.frames);
      return last.height === height && last.frames > frames + 10;
    },
    SWITCH_MS,
  ).catch(async (error) => {
    const state = JSON.stringify({ received: last, sent: await sent(publisher) });
    throw new Error(`${error.message}; ${state}`, { cause: error });
  });
}

for (const { codec, layers, heights } of STREAMS) {
  test(`one stream of ${codec} as ${layers} serves every size`, async (t) => {
    const meeting = await createMeeting(mesh());
    const watcher = { audio: false, video: false };
    const ada = await join(t, meeting, {
      ...{ name: 'Ada', region: 'paris', colour: 'red', height: 540, audio: false },
      ...{ codec, layers },
    });
    const large = await join(t, meeting, {
      ...{ name: 'Bo', region: 'virginia', viewport: LARGE, ...watcher },
    });
    const small = await join(t, meeting, {
      ...{ name: 'Cléo', region: 'paris', viewport: SMALL, ...watcher },
    });
    const [lowest] = heights;
    const highest = heights.at(-1);

    await t.test('it is one stream of that kind', async () => {
      const [rid, stream] = await until('pictures to be sent', async () => {
        const all = Object.entries(await sent(ada));
        return all.length === 1 && all[0][1].frames > 0 && all[0];
      });
      assert.equal(rid, 'undefined');
      assert.equal(stream.scalabilityMode, layers);
      assert.equal(stream.codec, `video/${codec.toUpperCase()}`);
      const answer = await ada.tab.evaluate(() => window.peer.currentRemoteDescription.sdp);
      assert.match(answer, /a=extmap:\d+(\/\w+)? \S*dependency-descriptor/);
    });

    await t.test('large and small tiles get what fits', async () => {
      await gets(large, highest, ada);
      await gets(small, lowest, ada);
    });

    await t.test('tiles that change get another size, without a gap', async (t) => {
      await watchFrames(large, 'Ada');
      await watchFrames(small, 'Ada');
      const before = [await received(large, 'Ada'), await received(small, 'Ada')];
      const sizes = [
        [SMALL, lowest],
        ...(heights.length > 2 ? [[MIDDLE, heights[1]]] : []),
        [LARGE, highest],
      ];
      for (const [viewport, height] of sizes) {
        await large.tab.page.setViewportSize(viewport);
        await gets(large, height, ada);
      }
      const [wavering, steady] = [await watched(large), await watched(small)];
      const after = [await received(large, 'Ada'), await received(small, 'Ada')];
      t.diagnostic(JSON.stringify({ wavering, steady, before, after }));
      for (const [place, { refused }] of after.entries()) {
        assert.equal(refused, before[place].refused, 'every picture that came was decoded');
      }
      assert.ok(wavering.takenGapMs < FREEZE_MS, `a gap of ${wavering.takenGapMs} ms`);
      assert.deepEqual(steady.heights, [lowest], 'the other viewer noticed nothing');
      assert.ok(steady.takenGapMs < FREEZE_MS, `a gap of ${steady.takenGapMs} ms`);
    });
  });
}
