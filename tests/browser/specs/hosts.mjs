import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiToken, createMeeting } from '../lib/api.mjs';
import { join, open } from './guests.mjs';
import { mesh } from './mesh.mjs';

test('a host lets people in, turns them away and removes them', async (t) => {
  const meeting = await createMeeting(mesh(), { waiting_room: true });
  const host = await join(t, meeting, { name: 'Host', region: 'paris', colour: 'red', host: true });
  await host.press('people');

  const guest = await open(t, meeting, { name: 'Guest', region: 'virginia', colour: 'green' });
  await host.tab.click('[data-testid=admit]');
  await guest.inState('connected');
  assert.equal(await host.seesPictureOf('Guest'), 'green');

  const stranger = await open(t, meeting, { name: 'Stranger', region: 'mumbai', colour: 'blue' });
  await host.tab.click('[data-testid=deny]');
  await stranger.inState('failed');

  await host.tab.click('[data-testid=remove]');
  await guest.inState('ended');
  await host.missesTileOf('Guest');
});

test('a user whom a back end vouches for as a viewer watches, and sends nothing', async (t) => {
  const meeting = await createMeeting(mesh());
  const ada = await join(t, meeting, { name: 'Ada', region: 'paris', colour: 'red' });
  const viewer = await join(t, meeting, {
    name: 'Viewer',
    region: 'frankfurt',
    colour: 'green',
    token: apiToken({ meeting: meeting.id, role: 'viewer' }),
  });
  assert.equal(await viewer.seesPictureOf('Ada'), 'red');
  await viewer.hears('Ada');
  await ada.seesTileOf('Viewer');
  const published = await ada.tab.evaluate(() =>
    [...window.sluice.room.participants.values()].map((one) => one.tracks.size),
  );
  assert.deepEqual(published, [0]);
  assert.equal(await viewer.tab.evaluate(() => window.sluice.room.isOn('camera')), false);
  const buttons = await viewer.tab.evaluate(() =>
    [...document.querySelectorAll('.tool')].map((button) => button.dataset['action']),
  );
  assert.ok(!buttons.includes('microphone') && !buttons.includes('screen'), buttons.join());
});

test('a page with a wrong invite says so', async (t) => {
  const meeting = await createMeeting(mesh());
  const wrong = { ...meeting, invite: 'iv_000000000000000000000000' };
  const guest = await open(t, wrong, { name: 'Guest', region: 'paris', colour: 'green' });
  await guest.inState('failed');
});
