import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMeeting } from '../lib/api.mjs';
import { until } from '../lib/deadline.mjs';
import { received, sent, watched, watchFrames } from '../lib/figures.mjs';
import { Path } from '../lib/path.mjs';
import { join } from './guests.mjs';
import { mesh } from './mesh.mjs';

/** A network that got narrow gets a smaller layer within this time. Milliseconds. */
const LOWER_MS = 2_000;

/**
 * The longest time between two pictures meanwhile, by their own clock. The path holds 150 ms when the
 * edge hears of it, which is 60 to 160 ms after it got narrow, and the smaller layer's first picture takes
 * up to 90 ms; 200 to 250 is usual. What stalls the machine shows at the other viewer, and comes on top.
 * Milliseconds.
 */
const FREEZE_MS = 350;

/** And a larger one within this time, once it is wide again: an edge probes with care. */
const HIGHER_MS = 30_000;

const heightAt = async (viewer) => (await received(viewer, 'Ada')).height;

/** Waits until a viewer's picture is as it should be; says what is sent when it is not. */
async function gets(what, viewer, publisher, fits, withinMs) {
  await until(what, async () => fits(await heightAt(viewer)), withinMs).catch(async (error) => {
    const [got, all] = [await received(viewer, 'Ada'), await sent(publisher)];
    throw new Error(`${error.message}; ${JSON.stringify({ got, sent: all })}`, { cause: error });
  });
}

test('a narrow network gets a lower layer, and nobody else does', async (t) => {
  const meeting = await createMeeting(mesh());
  const path = await Path.to(mesh().edge('frankfurt'));
  t.after(() => path.close());
  const watcher = { audio: false, video: false, viewport: { width: 1500, height: 700 } };
  const ada = await join(t, meeting, { name: 'Ada', region: 'paris', colour: 'red', height: 540 });
  const bo = await join(t, meeting, {
    name: 'Bo',
    region: 'frankfurt',
    mediaPort: path.port,
    ...watcher,
  });
  const cleo = await join(t, meeting, { name: 'Cléo', region: 'frankfurt', ...watcher });
  for (const one of [bo, cleo]) {
    await gets(`${one.name} to get all lines`, one, ada, (height) => height === 540);
  }
  await watchFrames(bo, 'Ada');
  await watchFrames(cleo, 'Ada');

  await t.test('it falls soon', async (t) => {
    const start = performance.now();
    path.limit(350);
    await gets('Bo to get fewer lines', bo, ada, (height) => height < 540, LOWER_MS);
    t.diagnostic(`after ${Math.round(performance.now() - start)} ms`);
    const [narrow, wide] = [await watched(bo), await watched(cleo)];
    t.diagnostic(JSON.stringify({ narrow, wide }));
    const most = FREEZE_MS + wide.takenGapMs;
    assert.ok(narrow.takenGapMs < most, `a gap of ${narrow.takenGapMs} ms, more than ${most}`);
  });

  await t.test('it climbs again', async (t) => {
    const start = performance.now();
    path.limit(Infinity);
    await gets('Bo to get all lines', bo, ada, (height) => height === 540, HIGHER_MS);
    t.diagnostic(`after ${Math.round(performance.now() - start)} ms`);
  });

  assert.deepEqual((await watched(cleo)).heights, [540], 'the other viewer noticed nothing');
});
