import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMeeting } from '../lib/api.mjs';
import { until } from '../lib/deadline.mjs';
import { received, sent, watched, watchFrames } from '../lib/figures.mjs';
import { join } from './guests.mjs';
import { mesh } from './mesh.mjs';

/** The heights of the three encodings, lowest first: a quarter, a half, and all. Pixels. */
const HEIGHTS = [135, 270, 540];

/** A tile that changes gets what fits it within this time. Milliseconds. */
const SWITCH_MS = 2_000;

/** A picture that stands still for longer is seen to. Milliseconds. */
const FREEZE_MS = 200;

const LARGE = { width: 1500, height: 700 };
const SMALL = { width: 420, height: 330 };

/** The height that an edge should send for somebody's tile: the smallest that is not smaller. */
async function fitting(viewer, name) {
  const { id } = await viewer.seesTileOf(name);
  const tile = await viewer.tab.evaluate(
    (whose) => document.querySelector(`[data-participant="${whose}"]`).clientHeight,
    id,
  );
  return HEIGHTS.find((height) => height >= tile) ?? HEIGHTS.at(-1);
}

/** Shows or hides somebody's tile. */
async function show(viewer, name, shown) {
  const { id } = await viewer.seesTileOf(name);
  await viewer.tab.evaluate(
    ([whose, display]) => {
      document.querySelector(`[data-participant="${whose}"]`).style.display = display;
    },
    [id, shown ? '' : 'none'],
  );
}

/** Asks for a counter until it has stood still for half a second. */
function standsStill(what, counter, withinMs) {
  let last = -1;
  let since = 0;
  return until(
    what,
    async () => {
      const now = await counter();
      if (now !== last) since = performance.now();
      last = now;
      return performance.now() - since > 500;
    },
    withinMs,
  );
}

/** Waits for a picture of a height, and tells how long it took, in milliseconds. */
async function arrives(viewer, name, height, withinMs) {
  const start = performance.now();
  let last;
  await until(
    `${viewer.name} to get ${height} lines of ${name}`,
    async () => {
      last = await received(viewer, name);
      return last.height === height;
    },
    withinMs,
  ).catch((error) => {
    throw new Error(`${error.message}; it gets ${JSON.stringify(last)}`, { cause: error });
  });
  return Math.round(performance.now() - start);
}

test('everybody gets the layer that fits, and what nobody wants is not sent', async (t) => {
  const meeting = await createMeeting(mesh());
  const watcher = { audio: false, video: false, viewport: LARGE };
  const ada = await join(t, meeting, { name: 'Ada', region: 'paris', colour: 'red', height: 540 });
  const bo = await join(t, meeting, { name: 'Bo', region: 'singapore', ...watcher });
  const cleo = await join(t, meeting, { name: 'Cléo', region: 'virginia', ...watcher });

  await t.test('three layers are published, with temporal ones', async () => {
    const layers = await until('three encodings to be sent', async () => {
      const all = await sent(ada);
      const names = Object.keys(all).sort().join();
      return names === 'f,h,q' && Object.values(all).every((one) => one.frames > 0) && all;
    });
    assert.deepEqual(
      ['q', 'h', 'f'].map((rid) => layers[rid].height),
      HEIGHTS,
    );
    for (const rid of ['q', 'h', 'f']) assert.equal(layers[rid].scalabilityMode, 'L1T3', rid);
  });

  await t.test('large tiles get the largest', async () => {
    for (const viewer of [bo, cleo]) await arrives(viewer, 'Ada', 540);
  });

  await t.test('a tile that shrinks gets a smaller one, and the other viewer keeps its', async (t) => {
    await watchFrames(bo, 'Ada');
    await watchFrames(cleo, 'Ada');
    await bo.tab.page.setViewportSize(SMALL);
    const small = await until('the tile to shrink', async () => {
      const fits = await fitting(bo, 'Ada');
      return fits < 540 && fits;
    });
    const took = await arrives(bo, 'Ada', small, SWITCH_MS);
    const [shrunk, kept] = [await watched(bo), await watched(cleo)];
    t.diagnostic(`after ${took} ms: ${JSON.stringify({ shrunk, kept })}`);
    assert.deepEqual(kept.heights, [540]);
    assert.ok(shrunk.takenGapMs < FREEZE_MS, `a gap of ${shrunk.takenGapMs} ms`);
  });

  await t.test('a tile that is hidden costs nothing, and comes back', async (t) => {
    await watchFrames(cleo, 'Ada');
    await show(bo, 'Ada', false);
    await standsStill(
      'Bo to get no more pictures',
      async () => (await received(bo, 'Ada')).frames,
      SWITCH_MS,
    );
    await show(bo, 'Ada', true);
    const { frames } = await received(bo, 'Ada');
    await until(
      'Bo to get pictures again',
      async () => (await received(bo, 'Ada')).frames > frames + 5,
      SWITCH_MS,
    );
    const kept = await watched(cleo);
    t.diagnostic(JSON.stringify(kept));
    assert.deepEqual(kept.heights, [540]);
    assert.ok(kept.takenGapMs < FREEZE_MS, `a gap of ${kept.takenGapMs} ms`);
  });

  await t.test('a layer that nobody watches is not encoded, until somebody does', async () => {
    await cleo.tab.page.setViewportSize(SMALL);
    await arrives(cleo, 'Ada', await fitting(cleo, 'Ada'));
    await until('the largest to be inactive', async () => (await sent(ada)).f.active === false);
    await standsStill('its encoder to stop', async () => (await sent(ada)).f.frames);
    const { f, q } = await sent(ada);
    await until('the lowest to go on', async () => (await sent(ada)).q.frames > q.frames + 5);
    assert.equal((await sent(ada)).f.frames, f.frames);

    await bo.tab.page.setViewportSize(LARGE);
    await arrives(bo, 'Ada', 540);
    const again = (await sent(ada)).f;
    assert.ok(again.active && again.frames > f.frames, JSON.stringify(again));
    assert.ok((await received(cleo, 'Ada')).height < 540);
  });
});
