import { beforeEach, describe, expect, test } from 'vitest';
import { EdgeError, EdgeUnreachable } from '../src/errors.ts';
import { Link } from '../src/link.ts';
import type { ClientMessage } from '../src/protocol.ts';
import { FakePlatform, settle, snapshot, view } from './fakes.ts';

const HELLO: ClientMessage = { type: 'ping' };

let platform: FakePlatform;
let link: Link;
let told: string[];

beforeEach(() => {
  platform = new FakePlatform();
  link = new Link(platform);
  told = [];
  link.on('event', (event) => told.push(event.type));
  for (const name of ['up', 'down', 'lost'] as const) link.on(name, () => told.push(name));
});

async function opened(): Promise<void> {
  const opening = link.open(['ws://paris'], 'jwt', HELLO);
  await platform.lastSocket.open();
  await platform.lastSocket.say(snapshot());
  await opening;
  told.length = 0;
}

describe('opening', () => {
  test('shows the token as a subprotocol and says hello first', async () => {
    const opening = link.open(['ws://paris'], 'jwt', HELLO);
    const socket = platform.lastSocket;
    await socket.open();
    await socket.say(snapshot());
    await opening;
    expect(socket.url).toBe('ws://paris');
    expect(socket.protocols).toEqual(['sluice.v1', 'sluice.token.jwt']);
    expect(socket.sent).toEqual([HELLO]);
    expect(told).toEqual(['room.snapshot']);
  });

  test('goes to the next edge when one refuses, is silent, or is full', async () => {
    const opening = link.open(['ws://a', 'ws://b', 'ws://c', 'ws://d'], 'jwt', HELLO);
    await platform.lastSocket.break();
    expect(platform.lastSocket.url).toBe('ws://b');
    await platform.advance(5_000);
    expect(platform.lastSocket.url).toBe('ws://c');
    await platform.lastSocket.open();
    await platform.lastSocket.say({
      type: 'error',
      code: 'edge_full',
      message: 'full',
      fatal: true,
    });
    expect(platform.lastSocket.url).toBe('ws://d');
    await platform.lastSocket.open();
    await platform.lastSocket.say(snapshot());
    await opening;
    expect(link.endpoint).toBe('ws://d');
  });

  test('stops at an error that every edge would give', async () => {
    const opening = link.open(['ws://a', 'ws://b'], 'jwt', HELLO);
    const refused = expect(opening).rejects.toBeInstanceOf(EdgeError);
    await platform.lastSocket.open();
    await platform.lastSocket.say({ type: 'error', code: 'bad_sdp', message: 'no', fatal: true });
    await refused;
    expect(platform.sockets).toHaveLength(1);
  });

  test('fails when nobody answers', async () => {
    const opening = link.open(['ws://a'], 'jwt', HELLO);
    const failed = expect(opening).rejects.toBeInstanceOf(EdgeUnreachable);
    await platform.lastSocket.break();
    await failed;
  });
});

describe('resuming', () => {
  test('tells each missed event once and is up when all are told', async () => {
    await opened();
    await platform.lastSocket.say({
      type: 'room.participant_joined',
      seq: 2,
      participant: view('pt_a'),
    });
    await platform.lastSocket.break();
    await platform.advance(400);
    const socket = platform.lastSocket;
    expect(socket.protocols).toEqual(['sluice.v1', 'sluice.resume.rs_1']);
    await socket.open();
    expect(socket.sent).toEqual([{ type: 'participant.resume', last_seq: 2 }]);
    await socket.say({ type: 'session.resumed', last_seq: 4 });
    await socket.say({ type: 'room.participant_joined', seq: 2, participant: view('pt_a') });
    await socket.say({
      type: 'room.participant_left',
      seq: 3,
      participant_id: 'pt_a',
      reason: 'left',
    });
    expect(told).toEqual(['room.participant_joined', 'down', 'room.participant_left']);
    await socket.say({ type: 'room.participant_joined', seq: 4, participant: view('pt_b') });
    expect(told.slice(3)).toEqual(['room.participant_joined', 'up']);
  });

  test('is up at once when nothing was missed', async () => {
    await opened();
    await platform.lastSocket.break();
    await platform.advance(400);
    await platform.lastSocket.open();
    await platform.lastSocket.say({ type: 'session.resumed', last_seq: 1 });
    expect(told).toEqual(['down', 'up']);
  });

  test('tries for the whole window and no longer', async () => {
    await opened();
    await platform.lastSocket.break();
    const attempts: number[] = [];
    link.on('attemptFailed', (attempt) => attempts.push(attempt));
    for (let i = 0; i < 60; i += 1) {
      await platform.advance(1_000);
      if (!platform.lastSocket.closed) await platform.lastSocket.break();
    }
    expect(attempts.length).toBeGreaterThan(5);
    expect(told).toEqual(['down', 'lost']);
  });

  test('ends at once when the edge has forgotten the session', async () => {
    await opened();
    await platform.lastSocket.break();
    await platform.advance(400);
    await platform.lastSocket.open();
    await platform.lastSocket.say({
      type: 'error',
      code: 'resume_expired',
      message: 'gone',
      fatal: true,
    });
    expect(told).toEqual(['down', 'lost']);
  });

  test('a socket that opens and breaks again does not start the window anew', async () => {
    await opened();
    await platform.lastSocket.break();
    for (let i = 0; i < 60; i += 1) {
      await platform.advance(1_000);
      if (platform.lastSocket.closed) continue;
      await platform.lastSocket.open();
      await platform.lastSocket.break();
    }
    expect(told).toEqual(['down', 'lost']);
  });
});

test('a socket that stays silent in spite of pings is given up', async () => {
  await opened();
  platform.lastSocket.deaf = true;
  await platform.advance(2_000);
  expect(platform.lastSocket.types()).toEqual(['ping', 'ping', 'ping']);
  await platform.advance(1_000);
  expect(told).toEqual(['down']);
});

test('a message of a newer edge is passed over', async () => {
  await opened();
  await platform.lastSocket.say({ type: 'from.the.future' });
  expect(told).toEqual([]);
});

test('a closed link is silent', async () => {
  await opened();
  const socket = platform.lastSocket;
  link.close();
  await socket.break();
  await settle();
  expect(told).toEqual([]);
});
