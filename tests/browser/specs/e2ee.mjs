import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMeeting } from '../lib/api.mjs';
import { until } from '../lib/deadline.mjs';
import { received } from '../lib/figures.mjs';
import { join } from './guests.mjs';
import { mesh } from './mesh.mjs';

const KEY = 'c2x1aWNlLWtleS0wMDAwMQ';
const OTHER_KEY = 'c2x1aWNlLWtleS0wMDAwMg';

/** The words on somebody's tile. */
const noteOn = (participant, name) =>
  participant.tab.evaluate(
    (whose) =>
      [...document.querySelectorAll('[data-testid=tile]')]
        .find((tile) => tile.getAttribute('aria-label').startsWith(whose))
        ?.querySelector('[data-testid=tile-note]:not([hidden])')?.textContent ?? '',
    name,
  );

test('only those with the key see, hear and read', async (t) => {
  const meeting = await createMeeting(mesh());
  const ada = await join(t, meeting, { name: 'Ada', region: 'paris', colour: 'red', key: KEY });
  const bo = await join(t, meeting, { name: 'Bo', region: 'singapore', colour: 'green', key: KEY });
  // They watch only: what they send cannot be read by the others either.
  const silent = { audio: false, video: false };
  const eve = await join(t, meeting, { name: 'Eve', region: 'paris', key: OTHER_KEY, ...silent });
  const mallory = await join(t, meeting, { name: 'Mallory', region: 'virginia', ...silent });

  await t.test('those with the key see and hear each other across regions', async () => {
    assert.equal(await ada.seesPictureOf('Bo'), 'green');
    assert.equal(await bo.seesPictureOf('Ada'), 'red');
    await ada.hears('Bo');
    await bo.hears('Ada');
    assert.ok(await ada.tab.evaluate(() => document.querySelector('[data-testid=encrypted]')));
    await until('Ada to write', () =>
      ada.tab.evaluate(() => {
        window.sluice.room.send('a secret', { topic: 'test' });
        return true;
      }),
    );
  });

  await t.test('the key is told to no server', async () => {
    const asked = await ada.tab.evaluate(() =>
      performance.getEntriesByType('resource').map(({ name }) => name),
    );
    assert.ok(!asked.some((url) => url.includes(KEY)), asked.join());
  });

  await t.test('one with another key decodes nothing, and is told why', async () => {
    await until('Eve to be told', async () => (await noteOn(eve, 'Ada')).includes('another key'));
    const { frames } = await received(eve, 'Ada');
    assert.equal(frames, 0);
    await eve.hearsNothingOf('Ada');
  });

  await t.test('one without a key sees no picture', async () => {
    const packets = () =>
      mallory.tab.evaluate(async () => {
        const entries = [...(await window.peer.getStats()).values()];
        const video = entries.filter(
          ({ type, kind }) => type === 'inbound-rtp' && kind === 'video',
        );
        return Math.max(0, ...video.map(({ packetsReceived }) => packetsReceived));
      });
    await until('Mallory to receive packets', async () => (await packets()) > 300);
    const { frames } = await received(mallory, 'Ada');
    // A decoder may take what is encrypted for a picture, but not for Ada's.
    t.diagnostic(`Mallory decoded ${frames} frames: ${await mallory.glimpseOf('Ada')}`);
    assert.ok(frames < 10, `${frames} frames`);
    assert.notEqual(await mallory.glimpseOf('Ada'), 'red');
  });
});
