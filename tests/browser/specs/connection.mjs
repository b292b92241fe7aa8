import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMeeting } from '../lib/api.mjs';
import { until } from '../lib/deadline.mjs';
import { join } from './guests.mjs';
import { mesh } from './mesh.mjs';

/** Longer than an edge waits for a client to come back. Milliseconds. */
const GONE_MS = 45_000;

test('a client whose socket was cut resumes, and hears what it missed', async (t) => {
  const meeting = await createMeeting(mesh());
  const ada = await join(t, meeting, {
    name: 'Ada',
    region: 'paris',
    colour: 'red',
    before: keepSockets,
  });
  const bo = await join(t, meeting, { name: 'Bo', region: 'virginia', colour: 'green' });
  await ada.seesPictureOf('Bo');
  const before = await bo.seesTileOf('Ada');

  await ada.tab.evaluate(() => window.sockets.at(-1).close());
  await bo.press('hand');
  await ada.inState('reconnecting');
  await ada.inState('connected');

  const protocols = await ada.tab.evaluate(() => window.sockets.at(-1).offered);
  assert.ok(
    protocols.some((one) => one.startsWith('sluice.resume.')),
    protocols.join(),
  );
  assert.equal(await ada.tab.evaluate(() => window.peers), 1, 'media went on without a pause');
  await until('Ada to see the hand', async () => (await ada.seesTileOf('Bo')).hand);
  assert.equal((await bo.seesTileOf('Ada')).id, before.id);
  assert.equal(await bo.seesPictureOf('Ada'), 'red');

  // What is said over the new socket arrives.
  await ada.press('hand');
  await until('Bo to see the hand', async () => (await bo.seesTileOf('Ada')).hand);
});

test('a client whose edge forgot it joins anew', async (t) => {
  const meeting = await createMeeting(mesh());
  const ada = await join(t, meeting, {
    name: 'Ada',
    region: 'paris',
    colour: 'red',
    before: keepSockets,
  });
  const bo = await join(t, meeting, { name: 'Bo', region: 'paris', colour: 'green' });
  await ada.press('microphone');
  await ada.tab.evaluate(() => {
    // The next socket says goodbye before it resumes, so that there is nothing to resume.
    const socket = window.sockets.at(-1);
    socket.send(JSON.stringify({ type: 'participant.leave' }));
    socket.onmessage = null;
    socket.close();
  });
  await ada.inState('reconnecting');
  await ada.inState('connected');
  assert.equal(await bo.seesPictureOf('Ada'), 'red');
  assert.equal((await bo.seesTileOf('Ada')).muted, true, 'the microphone stays muted');
  assert.equal(await ada.seesPictureOf('Bo'), 'green');
});

test('a client whose network changed restarts ICE, and the call goes on', async (t) => {
  const meeting = await createMeeting(mesh());
  const ada = await join(t, meeting, {
    name: 'Ada',
    region: 'paris',
    colour: 'red',
    before: keepSockets,
  });
  const bo = await join(t, meeting, { name: 'Bo', region: 'mumbai', colour: 'green' });
  await bo.seesPictureOf('Ada');
  const credentials = () =>
    ada.tab.evaluate(() => ({
      own: /a=ice-ufrag:(.+)/.exec(window.peer.currentLocalDescription.sdp)?.[1],
      edge: /a=ice-ufrag:(.+)/.exec(window.peer.currentRemoteDescription.sdp)?.[1],
    }));
  const before = await credentials();

  await ada.tab.evaluate(() => void window.dispatchEvent(new Event('online')));
  const after = await until('both sides to have other credentials', async () => {
    const now = await credentials();
    return now.own !== before.own && now.edge !== before.edge ? now : undefined;
  });
  assert.notDeepEqual(after, before);
  await ada.inState('connected');
  assert.equal(await ada.tab.evaluate(() => window.peers), 1);
  assert.equal(await bo.seesPictureOf('Ada'), 'red');
  assert.equal(await ada.seesPictureOf('Bo'), 'green');
});

test('a tab that was killed leaves the roster', async (t) => {
  const meeting = await createMeeting(mesh());
  const ada = await join(t, meeting, { name: 'Ada', region: 'paris', colour: 'red' });
  const bo = await join(t, meeting, { name: 'Bo', region: 'singapore', colour: 'green' });
  await ada.seesPictureOf('Bo');
  await bo.tab.kill();
  await ada.missesTileOf('Bo', GONE_MS);
});

/** Runs in the page: remembers its sockets. */
function keepSockets() {
  window.sockets = [];
  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(url, protocols) {
      super(url, protocols);
      this.offered = protocols;
      window.sockets.push(this);
    }
  };
}
