import { beforeEach, describe, expect, test } from 'vitest';
import { SluiceClient } from '../src/client.ts';
import { frameMessage } from '../src/data.ts';
import { MediaUnreachable, NotAllowed, RequestRefused } from '../src/errors.ts';
import type { Room } from '../src/room.ts';
import { FakePlatform, admission, json, required, settle, snapshot, view } from './fakes.ts';

const TARGET = {
  coordinator: 'http://coordinator/',
  meeting: 'mtg_1',
  invite: 'iv_1',
  name: 'Ada',
};

let platform: FakePlatform;

beforeEach(() => {
  platform = new FakePlatform();
  platform.answer = () => json(admission());
});

/** Plays the edge on the newest socket: lets the client in, and media flow. */
async function letIn(...others: string[]): Promise<void> {
  await platform.lastSocket.open();
  await platform.lastSocket.say(snapshot(others.map((id) => view(id))));
  await platform.lastSocket.say({ type: 'sfu.answer', seq: 2, sdp_answer: 'edge', tracks: [] });
  await platform.lastPeer.turn('connected');
}

async function join(): Promise<Room> {
  const joining = new SluiceClient(platform).join(TARGET);
  await settle();
  await letIn('pt_a');
  return await joining;
}

describe('joining', () => {
  test('asks the coordinator, greets the edge with two m-lines, and is connected', async () => {
    let body: unknown;
    platform.answer = (_, init) => {
      body = JSON.parse(String(init.body));
      return json(admission());
    };
    const room = await join();
    expect(platform.requests).toEqual(['http://coordinator/v1/meetings/mtg_1/join']);
    expect(body).toEqual({ name: 'Ada', invite: 'iv_1' });
    expect(platform.lastSocket.sent[0]).toMatchObject({
      type: 'participant.hello',
      sdp_offer: 'offer-1',
      tracks: [
        { mid: '0', source: 'microphone' },
        { mid: '1', source: 'camera' },
      ],
      presence: { audio_muted: true, video_muted: true },
    });
    expect(room.state).toBe('connected');
    expect([...room.participants.keys()]).toEqual(['pt_a']);
  });

  test('waits in the waiting room and asks again as the one who waited', async () => {
    const bodies: { participant_id?: string }[] = [];
    platform.answer = (_, init) => {
      bodies.push(JSON.parse(String(init.body)) as { participant_id?: string });
      return bodies.length < 3
        ? json({ status: 'waiting', participant_id: 'pt_w', retry_after_ms: 1_000 }, 202)
        : json(admission());
    };
    const waits: string[] = [];
    const joining = new SluiceClient(platform).join({
      ...TARGET,
      onWaiting: (id) => waits.push(id),
    });
    await settle();
    await platform.advance(2_000);
    await letIn();
    await joining;
    expect(bodies.map((body) => body.participant_id)).toEqual([undefined, 'pt_w', 'pt_w']);
    expect(waits).toEqual(['pt_w']);
  });

  test('fails with the coordinator’s problem document', async () => {
    platform.answer = () =>
      json({ type: 't', title: 'No', status: 403, detail: 'wrong invite' }, 403);
    const joining = new SluiceClient(platform).join(TARGET);
    await expect(joining).rejects.toMatchObject({ status: 403, message: 'wrong invite' });
    await expect(joining).rejects.toBeInstanceOf(RequestRefused);
  });

  test('fails when media finds no way', async () => {
    const joining = new SluiceClient(platform).join(TARGET);
    const failed = expect(joining).rejects.toBeInstanceOf(MediaUnreachable);
    await settle();
    await platform.lastSocket.open();
    await platform.lastSocket.say(snapshot());
    await platform.advance(20_000);
    await failed;
    expect(platform.lastPeer.closed).toBe(true);
  });

  test('a token in hand is enough without a coordinator', async () => {
    platform.answer = () => Promise.reject(new TypeError('no network'));
    const joining = new SluiceClient(platform).join({
      admission: () => Promise.resolve(admission()),
    });
    await settle();
    await letIn();
    expect((await joining).state).toBe('connected');
  });
});

test('a viewer lets go of its devices and cannot take others', async () => {
  platform.answer = () => json(admission({ role: 'viewer' }));
  const room = await join();
  await expect(room.setCamera(true)).rejects.toBeInstanceOf(NotAllowed);
  await expect(room.setMicrophone(true)).rejects.toBeInstanceOf(NotAllowed);
});

describe('a socket that breaks', () => {
  test('is resumed, and the presence said again', async () => {
    const room = await join();
    const states: string[] = [];
    room.on('connectionState', (state) => states.push(state));
    await platform.lastSocket.break();
    room.raiseHand(true);
    await platform.advance(400);
    await platform.lastSocket.open();
    await platform.lastSocket.say({ type: 'session.resumed', last_seq: 2 });
    expect(states).toEqual(['reconnecting', 'connected']);
    expect(platform.lastSocket.sent).toContainEqual({
      type: 'presence.update',
      audio_muted: true,
      video_muted: true,
      hand_raised: true,
      screen_sharing: false,
    });
    expect(platform.peers).toHaveLength(1);
  });

  test('means joining anew with the same token when the edge answers but has forgotten', async () => {
    const room = await join();
    room.raiseHand(true);
    platform.answer = (url) =>
      url === 'http://paris' ? json({}) : Promise.reject(new TypeError('no network'));
    await platform.lastSocket.break();
    for (let i = 0; i < 2; i += 1) {
      await platform.advance(1_000);
      await platform.lastSocket.break();
    }
    expect(platform.lastSocket.protocols).toContain('sluice.token.jwt');
    await letIn('pt_a', 'pt_b');
    expect(room.state).toBe('connected');
    expect(platform.peers).toHaveLength(2);
    expect(platform.lastSocket.sent[0]).toMatchObject({ presence: { hand_raised: true } });
    expect([...room.participants.keys()]).toEqual(['pt_a', 'pt_b']);
  });

  test('means joining at the next edge at once when only that one answers', async () => {
    const room = await join();
    platform.answer = (url) =>
      url.startsWith('http://paris') ? Promise.reject(new TypeError('refused')) : json({});
    await platform.lastSocket.break();
    await settle();
    expect(platform.lastSocket.url).toBe('ws://frankfurt');
    expect(platform.lastSocket.protocols).toContain('sluice.token.jwt');
    await letIn('pt_a');
    expect(room.state).toBe('connected');
  });

  test('waits for a network that is gone altogether', async () => {
    const room = await join();
    platform.answer = () => Promise.reject(new TypeError('no network'));
    await platform.lastSocket.break();
    for (let i = 0; i < 10; i += 1) {
      await platform.advance(1_000);
      if (!platform.lastSocket.closed) await platform.lastSocket.break();
    }
    expect(room.state).toBe('reconnecting');
    expect(
      platform.sockets.every(
        (one) => !one.protocols.includes('sluice.token.jwt') || one === platform.sockets[0],
      ),
    ).toBe(true);
  });

  test('fails in the end when nothing comes back', async () => {
    const room = await join();
    const errors: string[] = [];
    room.on('error', (error) => errors.push(error.kind));
    platform.answer = () => Promise.reject(new TypeError('no network'));
    await platform.lastSocket.break();
    for (let i = 0; i < 150; i += 1) {
      await platform.advance(1_000);
      if (!platform.lastSocket.closed) await platform.lastSocket.break();
    }
    expect(room.state).toBe('failed');
    expect(errors).toContain('coordinator_unreachable');
  });
});

describe('media that breaks', () => {
  test('heals by itself within two seconds, unnoticed', async () => {
    const room = await join();
    await platform.lastPeer.turn('disconnected');
    await platform.advance(1_000);
    await platform.lastPeer.turn('connected');
    await platform.advance(5_000);
    expect(room.state).toBe('connected');
    expect(platform.lastPeer.calls).not.toContain('restart-ice');
  });

  test('restarts ICE with an offer', async () => {
    const room = await join();
    await platform.lastPeer.turn('failed');
    expect(room.state).toBe('reconnecting');
    expect(platform.lastPeer.calls).toContain('restart-ice');
    expect(platform.lastSocket.types()).toContain('participant.offer');
    await platform.lastPeer.turn('connected');
    expect(room.state).toBe('connected');
  });

  test('another network means another socket and new candidates at once', async () => {
    await join();
    await platform.changeNetwork();
    await platform.advance(400);
    expect(platform.lastSocket.protocols).toContain('sluice.resume.rs_1');
    expect(platform.lastPeer.calls).toContain('restart-ice');
  });
});

describe('an edge that goes away', () => {
  const moved = (...candidates: string[]): Promise<void> =>
    required(platform.sockets[0]).say({ type: 'session.moved', seq: 3, candidates });

  test('sends the client to the next, and plays on until everybody has gone over', async () => {
    const room = await join();
    const states: string[] = [];
    room.on('connectionState', (state) => states.push(state));
    const [socket, peer] = [platform.lastSocket, platform.lastPeer];
    await moved('ws://mumbai');
    expect(platform.lastSocket.url).toBe('ws://mumbai');
    expect(room.participants.size).toBe(1);
    await letIn('pt_a', 'pt_b');
    expect([...room.participants.keys()]).toEqual(['pt_a', 'pt_b']);
    await platform.advance(2_999);
    expect([peer.closed, socket.closed]).toEqual([false, false]);
    await platform.advance(1);
    expect([peer.closed, socket.closed]).toEqual([true, true]);
    expect(socket.types().at(-1)).toBe('participant.leave');
    expect(platform.lastPeer.closed).toBe(false);
    expect(states).toEqual([]);
  });

  test('and names no other sends the client to the next of its admission', async () => {
    const room = await join();
    await moved();
    expect(platform.lastSocket.url).toBe('ws://frankfurt');
    await letIn('pt_a');
    expect(room.state).toBe('connected');
  });

  test('serves on while the next lets no media through', async () => {
    const room = await join();
    const peer = platform.lastPeer;
    await moved('ws://mumbai');
    await platform.lastSocket.open();
    await platform.lastSocket.say(snapshot([view('pt_c')]));
    await platform.advance(10_000);
    expect(platform.sockets[1]?.types().at(-1)).toBe('participant.leave');
    expect([...room.participants.keys()]).toEqual(['pt_a']);
    await platform.sockets[0]?.say({ type: 'room.participant_joined', seq: 4, participant: view('pt_d') });
    expect([...room.participants.keys()]).toEqual(['pt_a', 'pt_d']);
    expect([room.state, peer.closed]).toEqual(['connected', false]);
    await letIn('pt_a');
    expect(platform.sockets.length).toBeGreaterThan(2);
    expect(room.state).toBe('connected');
  });

  test('is not heard any more once the next is there', async () => {
    const room = await join();
    await moved('ws://mumbai');
    await letIn('pt_a');
    const old = required(platform.sockets[0]);
    await old.say({ type: 'room.participant_left', seq: 4, participant_id: 'pt_a', reason: 'left' });
    await old.say({ type: 'room.ended', seq: 5, reason: 'removed' });
    expect(room.state).toBe('connected');
    expect([...room.participants.keys()]).toEqual(['pt_a']);
  });

  test('and dies meanwhile means joining anew', async () => {
    const room = await join();
    await moved('ws://mumbai');
    await required(platform.sockets[0]).say({ type: 'error', code: 'resume_expired', message: 'gone', fatal: true });
    expect(room.state).toBe('reconnecting');
    await letIn('pt_a');
    expect(room.state).toBe('connected');
  });

  test('and puts the client out before it is elsewhere means joining anew', async () => {
    const room = await join();
    await moved('ws://mumbai');
    await required(platform.sockets[0]).say({ type: 'room.ended', seq: 4, reason: 'removed' });
    expect(room.state).toBe('reconnecting');
    await letIn('pt_a');
    expect(room.state).toBe('connected');
  });

  test('is left together with the next', async () => {
    const room = await join();
    await moved('ws://mumbai');
    await letIn('pt_a');
    room.leave();
    expect(platform.sockets.map((one) => one.types().at(-1))).toEqual([
      'participant.leave',
      'participant.leave',
    ]);
    expect(platform.peers.every((peer) => peer.closed)).toBe(true);
  });
});

test('the end of the meeting ends the room', async () => {
  const room = await join();
  const reasons: string[] = [];
  room.on('ended', (reason) => reasons.push(reason));
  await platform.lastSocket.say({ type: 'room.ended', seq: 3, reason: 'meeting_ended' });
  expect(reasons).toEqual(['meeting_ended']);
  expect(room.state).toBe('ended');
  expect(platform.lastPeer.closed).toBe(true);
});

test('leaving says so', async () => {
  const room = await join();
  room.leave();
  expect(platform.lastSocket.types().at(-1)).toBe('participant.leave');
  expect(platform.lastSocket.closed).toBe(true);
});

describe('wishes for tracks', () => {
  const wishes = (): unknown[] =>
    platform.lastSocket.sent.filter((message) => message.type === 'subscription.update');

  test('are said together, and again to the edge that comes next', async () => {
    const room = await join();
    room.subscribe('tr_1', { height: 360, priority: 'high' });
    room.subscribe('tr_2', { visible: false });
    await settle();
    const tracks = [
      { track_id: 'tr_1', wish: { height: 360, priority: 'high' } },
      { track_id: 'tr_2', wish: { visible: false } },
    ];
    expect(wishes()).toEqual([{ type: 'subscription.update', tracks }]);
    await platform.lastSocket.say({ type: 'session.moved', seq: 3, candidates: ['ws://mumbai'] });
    await letIn('pt_a');
    await platform.advance(100);
    expect(wishes()).toEqual([{ type: 'subscription.update', tracks }]);
    expect(platform.lastSocket.types()[0]).toBe('participant.hello');
  });

  test('are forgotten with the track', async () => {
    const room = await join();
    const track = { track_id: 'tr_1', kind: 'video', source: 'camera' } as const;
    const { lastSocket } = platform;
    await lastSocket.say({ type: 'room.track_published', participant_id: 'pt_a', track });
    room.subscribe('tr_1', { height: 360 });
    await lastSocket.say({
      type: 'room.track_unpublished',
      participant_id: 'pt_a',
      track_id: 'tr_1',
    });
    await lastSocket.say({ type: 'session.moved', seq: 3, candidates: ['ws://mumbai'] });
    await letIn('pt_a');
    await platform.advance(100);
    expect(wishes()).toEqual([]);
  });
});

test('encodings that nobody wants are not sent', async () => {
  await join();
  const encodings = [
    { rid: 'q', active: true },
    { rid: 'f', active: false },
  ];
  await platform.lastSocket.say({ type: 'publish.encodings', mid: '1', encodings });
  const { sender } = required(platform.lastPeer.transceivers[1]);
  expect(sender.encodings.map((one) => one.active)).toEqual([true, true, false]);
});

test('speakers are told', async () => {
  const room = await join();
  await platform.lastSocket.say({
    type: 'room.speakers',
    speakers: [{ participant_id: 'pt_a', level: 12 }],
  });
  expect(room.speakers.map(({ id, level }) => [id, level])).toEqual([['pt_a', 12]]);
});

test('data channels are there before the first offer, and carry messages to others', async () => {
  const room = await join();
  const { calls, channels } = platform.lastPeer;
  expect(calls.slice(0, 3)).toEqual(['channel-reliable', 'channel-lossy', 'offer-1']);
  const told: unknown[] = [];
  room.on('data', ({ from, topic }) => told.push([from, topic]));
  room.send('hello', { topic: 'chat' });
  await channels[0]?.open();
  expect(channels[0]?.sent).toHaveLength(1);
  await channels[0]?.say(frameMessage({ from: 'pt_a', topic: 'chat' }, new Uint8Array(1)));
  expect(told).toEqual([['pt_a', 'chat']]);
});
