import { beforeEach, describe, expect, test } from 'vitest';
import { SluiceClient, type JoinOptions } from '../src/client.ts';
import { parseMessage } from '../src/data.ts';
import { Encryption } from '../src/e2ee/encryption.ts';
import type { Room } from '../src/room.ts';
import { FakePlatform, admission, required, settle, snapshot, view } from './fakes.ts';

const SECRET = 'a secret of enough bytes';

let platform: FakePlatform;

beforeEach(() => {
  platform = new FakePlatform();
});

const attached = (): [string, string, string][] =>
  required(platform.transforms).attached.map((one) => [one.role, one.participantId, one.codec]);

/** Ciphers run outside of the fake clock. */
async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !done(); i += 1) await new Promise((resolve) => setTimeout(resolve, 1));
  expect(done()).toBe(true);
}

async function letIn(): Promise<void> {
  await until(() => platform.sockets.length > 0);
  await platform.lastSocket.open();
  await platform.lastSocket.say(snapshot([view('pt_a'), view('pt_b')]));
  await platform.lastSocket.say({ type: 'sfu.answer', seq: 2, sdp_answer: 'edge', tracks: [] });
  await platform.lastPeer.turn('connected');
}

async function join(options: Partial<JoinOptions> = {}): Promise<Room> {
  const joining = new SluiceClient(platform).join({
    admission: () => Promise.resolve(admission()),
    e2ee: { key: SECRET },
    ...options,
  });
  await letIn();
  return joining;
}

async function offered(revision: number, participant: string, mid = '5'): Promise<void> {
  const track = { track_id: `tr_${participant}`, kind: 'video', source: 'camera' } as const;
  await platform.lastSocket.say({
    type: 'sfu.offer',
    sdp_offer: 'edge',
    revision,
    tracks: [{ ...track, mid, participant_id: participant }],
  });
}

test('own m-lines encrypt from the start, and pictures are VP8 alone', async () => {
  const room = await join();
  expect(room.encrypted).toBe(true);
  expect(attached()).toEqual([
    ['send', 'pt_me', 'audio/opus'],
    ['send', 'pt_me', 'video/vp8'],
  ]);
  expect(platform.lastPeer.transceivers[1]?.codecs.map((one) => one.mimeType)).toEqual([
    'video/VP8',
    'video/rtx',
    'video/ulpfec',
  ]);
  expect(required(platform.transforms).posted[0]).toMatchObject({ type: 'secret', keyId: 0 });
});

test('without a key nothing is encrypted', async () => {
  const joining = new SluiceClient(platform).join({
    admission: () => Promise.resolve(admission()),
  });
  await letIn();
  const room = await joining;
  expect(room.encrypted).toBe(false);
  expect(attached()).toEqual([]);
  expect(platform.configurations[0]).not.toHaveProperty('encodedInsertableStreams');
});

test('a browser with streams alone is asked for them', async () => {
  required(platform.transforms).streams = true;
  await join();
  expect(platform.configurations[0]).toHaveProperty('encodedInsertableStreams', true);
});

test('an m-line of the edge is decrypted as whoever it carries', async () => {
  await join();
  platform.lastPeer.receive('5');
  await offered(1, 'pt_a');
  expect(attached().at(-1)).toEqual(['receive', 'pt_a', '']);
  const { id } = required(required(platform.transforms).attached.at(-1));
  await offered(2, 'pt_b');
  expect(attached()).toHaveLength(3);
  expect(required(platform.transforms).posted.at(-1)).toEqual({
    type: 'assign',
    id,
    participantId: 'pt_b',
  });
});

test('whoever cannot be decrypted is told', async () => {
  const room = await join();
  const told: unknown[] = [];
  room.on('decryption', ({ participant, works }) => told.push([participant.id, works]));
  const { onmessage } = required(platform.transforms);
  onmessage?.({ type: 'decryption', participantId: 'pt_a', works: false });
  onmessage?.({ type: 'decryption', participantId: 'pt_a', works: true });
  expect(told).toEqual([
    ['pt_a', false],
    ['pt_a', true],
  ]);
});

test('the payload of a message is encrypted, and bound to its sender and topic', async () => {
  const room = await join();
  const reliable = required(platform.lastPeer.channels[0]);
  await reliable.open();
  room.send('hello', { topic: 'chat' });
  await until(() => reliable.sent.length > 0);
  const message = new Uint8Array(required(reliable.sent[0]));
  expect(new TextDecoder().decode(message)).not.toContain('hello');
  const payload = message.slice(2 + new DataView(message.buffer).getUint16(0));
  const other = await Encryption.start(new FakePlatform(), { key: SECRET }, 'vp8');
  expect(new TextDecoder().decode(await other.open(payload, 'chat', 'pt_me'))).toBe('hello');
  await expect(other.open(payload, 'chat', 'pt_a')).rejects.toThrow();
  await expect(other.open(payload, 'poll', 'pt_me')).rejects.toThrow();
  expect(parseMessage(message)).toBeUndefined();
});

test('the worker ends with the room, and with a join that fails', async () => {
  const room = await join();
  room.leave();
  expect(required(platform.transforms).closed).toBe(true);

  platform = new FakePlatform();
  const joining = new SluiceClient(platform).join({
    admission: () => Promise.reject(new Error('no')),
    e2ee: { key: SECRET },
  });
  await expect(joining).rejects.toThrow('no');
  expect(required(platform.transforms).closed).toBe(true);
});

describe('a join is refused', () => {
  test.each(['h264', 'av1'] as const)('with %s, which cannot be encrypted', async (codec) => {
    const joining = new SluiceClient(platform).join({
      admission: () => Promise.resolve(admission()),
      e2ee: { key: SECRET },
      publish: { codec },
    });
    await expect(joining).rejects.toMatchObject({ problem: 'unsupported_codec' });
  });

  test('in a browser that gives no frames out', async () => {
    platform.transforms = undefined;
    const joining = new SluiceClient(platform).join({
      admission: () => Promise.resolve(admission()),
      e2ee: { key: SECRET },
    });
    await expect(joining).rejects.toMatchObject({ problem: 'unsupported' });
  });

  test('with a key id that does not fit', async () => {
    const start = Encryption.start(platform, { key: SECRET, keyId: 256 }, 'vp8');
    await expect(start).rejects.toThrow(/key id is 256/);
  });
});

test('another key is for everything from then on', async () => {
  const room = await join();
  await room.setEncryptionKey('the secret that comes next', 3);
  expect(required(platform.transforms).posted.at(-1)).toMatchObject({ type: 'secret', keyId: 3 });
  const reliable = required(platform.lastPeer.channels[0]);
  await reliable.open();
  room.send('x');
  await until(() => reliable.sent.length > 0);
  await settle();
  expect(new Uint8Array(required(reliable.sent[0])).at(-1)).toBe(3);
});
