import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMeeting } from '../lib/api.mjs';
import { until } from '../lib/deadline.mjs';
import { join } from './guests.mjs';
import { mesh } from './mesh.mjs';

/** The size of a participant's shared screen, as another sees it. */
const screenSize = (participant) =>
  participant.tab.evaluate(() => {
    const video = document.querySelector('[data-source=screen] video[data-track-id]');
    return video?.videoWidth ? `${video.videoWidth}x${video.videoHeight}` : undefined;
  });

test('a screen comes and goes beside the camera, as often as one likes', async (t) => {
  const meeting = await createMeeting(mesh());
  const ada = await join(t, meeting, {
    name: 'Ada',
    region: 'paris',
    colour: 'red',
    before: offerAScreen,
  });
  const bo = await join(t, meeting, { name: 'Bo', region: 'mumbai', colour: 'green' });
  await bo.seesPictureOf('Ada');

  for (let round = 0; round < 2; round += 1) {
    await ada.press('screen');
    await until('Bo to see the screen', () => screenSize(bo));
    await ada.press('screen');
    await until('the screen to be gone', async () => !(await screenSize(bo)));
  }
  assert.equal(await bo.seesPictureOf('Ada'), 'red');
});

test('all share at once, so that offers cross, and all see it', async (t) => {
  const meeting = await createMeeting(mesh());
  const guests = [];
  for (const [name, region, colour] of [
    ['Ada', 'paris', 'red'],
    ['Bo', 'paris', 'green'],
    ['Cléo', 'mumbai', 'blue'],
  ]) {
    guests.push(await join(t, meeting, { name, region, colour, before: offerAScreen }));
  }
  const [ada, bo, cleo] = guests;
  await Promise.all(guests.map((guest) => guest.press('screen')));
  for (const guest of guests) {
    await until(`${guest.name} to see all three screens`, () =>
      guest.tab.evaluate(() => {
        const screens = document.querySelectorAll('[data-source=screen] video[data-track-id]');
        return screens.length === 3 && [...screens].every((video) => video.videoWidth > 0);
      }),
    );
  }
  for (const { name, tab } of guests) {
    const hidden = await tab.evaluate(() => {
      const tiles = [...document.querySelectorAll('[data-testid=focus] [data-source]')];
      const rectangles = tiles.map((tile) => tile.getBoundingClientRect());
      return rectangles.filter(({ bottom, right }) => bottom > innerHeight || right > innerWidth);
    });
    assert.deepEqual(hidden, [], `${name} has room for all screens`);
  }
  await Promise.all(guests.map((guest) => guest.press('screen')));
  assert.equal(await ada.seesPictureOf('Bo'), 'green');
  assert.equal(await bo.seesPictureOf('Cléo'), 'blue');
  assert.equal(await cleo.seesPictureOf('Ada'), 'red');
});

/** Runs in the page: a headless browser has no screen to offer. */
function offerAScreen() {
  navigator.mediaDevices.getDisplayMedia = () => {
    const canvas = document.createElement('canvas');
    canvas.width = 640;
    canvas.height = 480;
    const context = canvas.getContext('2d');
    setInterval(() => context.fillText(String(Date.now()), 20 * Math.random(), 240), 100);
    return Promise.resolve(canvas.captureStream(10));
  };
}
