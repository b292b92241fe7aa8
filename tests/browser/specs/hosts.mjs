import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMeeting } from '../lib/api.mjs';
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

test('a page with a wrong invite says so', async (t) => {
  const meeting = await createMeeting(mesh());
  const wrong = { ...meeting, invite: 'iv_000000000000000000000000' };
  const guest = await open(t, wrong, { name: 'Guest', region: 'paris', colour: 'green' });
  await guest.inState('failed');
});
