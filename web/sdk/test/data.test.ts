import { beforeEach, describe, expect, test } from 'vitest';
import { DATA_BYTES_MAX, frameMessage, parseMessage, type DataMessage } from '../src/data.ts';
import { DataChannels, type DataCipher } from '../src/data-channels.ts';
import { FakeDataChannel, FakePeer, FakePlatform, required, settle } from './fakes.ts';

let platform: FakePlatform;
let peer: FakePeer;
let unbind: () => void;
let received: DataMessage[];
let unreadable: string[];
let errors: string[];

beforeEach(() => {
  platform = new FakePlatform();
  peer = new FakePeer();
  received = [];
  unreadable = [];
  errors = [];
});

function channels(cipher?: DataCipher): DataChannels {
  const data = new DataChannels(platform, cipher, {
    onMessage: (message) => received.push(message),
    onUnreadable: (from) => unreadable.push(from),
    onError: (error) => errors.push(error.problem),
  });
  unbind = data.bind(peer);
  return data;
}

const channel = (label: string): FakeDataChannel =>
  required(peer.channels.find((one) => one.label === label));

/** The JSON and the payload of what was sent. */
function read(data: ArrayBuffer | undefined): [unknown, string] {
  const bytes = new Uint8Array(required(data));
  const length = new DataView(bytes.buffer).getUint16(0);
  const text = (from: number, to?: number): string =>
    new TextDecoder().decode(bytes.subarray(from, to));
  return [JSON.parse(text(2, 2 + length)), text(2 + length)];
}

const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const text = (message: DataMessage): string => new TextDecoder().decode(message.payload);

test('two channels are opened: one that repeats, one that does not', () => {
  channels();
  expect(peer.channels.map(({ label, init }) => [label, init])).toEqual([
    ['reliable', { ordered: true }],
    ['lossy', { ordered: false, maxRetransmits: 0 }],
  ]);
});

test('a message is a length, a header and a payload', async () => {
  const data = channels();
  await channel('reliable').open();
  await channel('lossy').open();
  data.send('héllo', { to: ['pt_a'], topic: 'chat' });
  data.send(bytes('fast'), { reliable: false });
  const [first] = channel('reliable').sent;
  expect([...new Uint8Array(required(first)).subarray(0, 4)]).toEqual([0, 30, 0x7b, 0x22]);
  expect(read(first)).toEqual([{ to: ['pt_a'], topic: 'chat' }, 'héllo']);
  expect(read(channel('lossy').sent[0])).toEqual([{}, 'fast']);
});

test('what comes in is told with its sender', async () => {
  channels();
  await channel('lossy').say(frameMessage({ from: 'pt_a', topic: 'chat' }, bytes('hi')));
  await channel('reliable').say(frameMessage({ from: 'pt_b' }, bytes('')));
  expect(received.map((one) => [one.from, one.topic, text(one)])).toEqual([
    ['pt_a', 'chat', 'hi'],
    ['pt_b', undefined, ''],
  ]);
});

test.each([
  ['nothing', []],
  ['half a length', [0]],
  ['a length beyond the end', [0, 9, 0x7b, 0x7d]],
  ['no JSON', [0, 2, 0x7b, 0x7b]],
  ['no object', [0, 4, 0x6e, 0x75, 0x6c, 0x6c]],
  ['no sender', [0, 2, 0x7b, 0x7d]],
])('%s is no message', (_, data) => {
  expect(parseMessage(new Uint8Array(data))).toBeUndefined();
});

describe('limits', () => {
  test('a message of 16,384 bytes goes, and one more does not', () => {
    const data = channels();
    const room = DATA_BYTES_MAX - 4;
    data.send(new Uint8Array(room), {});
    expect(() => data.send(new Uint8Array(room + 1), {})).toThrow(/16385 bytes.*at most 16384/);
  });

  test('messages wait until their channel is open, in order', async () => {
    const data = channels();
    data.send('1', {});
    data.send('2', {});
    data.send('x', { reliable: false });
    await channel('lossy').open();
    expect(channel('lossy').sent).toHaveLength(1);
    await channel('reliable').open();
    expect(channel('reliable').sent.map((one) => read(one)[1])).toEqual(['1', '2']);
  });

  test('what waits is bounded in number and in bytes', () => {
    const data = channels();
    for (let i = 0; i < 100; i += 1) data.send('x', {});
    expect(() => data.send('x', {})).toThrow(/100 messages/);
    const other = channels();
    for (let i = 0; i < 16; i += 1) other.send(new Uint8Array(16_000), {});
    expect(() => other.send(new Uint8Array(16_000), {})).toThrow(/262144 bytes/);
  });

  test('no more than an edge takes is sent in a second; the rest follows', async () => {
    const data = channels();
    await channel('reliable').open();
    for (let i = 0; i < 150; i += 1) data.send(String(i), {});
    expect(channel('reliable').sent).toHaveLength(100);
    await platform.advance(999);
    expect(channel('reliable').sent).toHaveLength(100);
    await platform.advance(1);
    expect(channel('reliable').sent.map((one) => read(one)[1]).at(-1)).toBe('149');
    for (let i = 0; i < 18; i += 1) data.send(new Uint8Array(16_000), {});
    expect(channel('reliable').sent).toHaveLength(150 + 16);
  });
});

test('messages wait for another peer connection, and end with the room', async () => {
  const data = channels();
  await channel('reliable').open();
  unbind();
  data.send('later', {});
  peer = new FakePeer();
  unbind = data.bind(peer);
  await channel('reliable').open();
  expect(read(channel('reliable').sent[0])[1]).toBe('later');
  unbind();
  data.send('never', {});
  data.close();
  peer = new FakePeer();
  data.bind(peer);
  await channel('reliable').open();
  expect(channel('reliable').sent).toEqual([]);
});

test('another peer connection takes over when its channels are open, and not before', async () => {
  const data = channels();
  const old = channel('reliable');
  await old.open();
  const endOld = unbind;
  peer = new FakePeer();
  data.bind(peer);
  data.send('first', {});
  await old.say(frameMessage({ from: 'pt_a' }, new Uint8Array(1)));
  await channel('reliable').open();
  data.send('second', {});
  await old.say(frameMessage({ from: 'pt_a' }, new Uint8Array(1)));
  await channel('reliable').say(frameMessage({ from: 'pt_b' }, new Uint8Array(1)));
  endOld();
  data.send('third', {});
  expect(old.sent.map((one) => read(one)[1])).toEqual(['first']);
  expect(channel('reliable').sent.map((one) => read(one)[1])).toEqual(['second', 'third']);
  expect(received.map(({ from }) => from)).toEqual(['pt_a', 'pt_b']);
});

test('when the peer connection that took over is gone first, the one before goes on', async () => {
  const data = channels();
  const old = channel('reliable');
  await old.open();
  peer = new FakePeer();
  const endNew = data.bind(peer);
  await channel('reliable').open();
  endNew();
  data.send('still here', {});
  expect(old.sent.map((one) => read(one)[1])).toEqual(['still here']);
});

describe('encrypted payloads', () => {
  /** Turns a payload round; the first takes longest. */
  function reversing(): DataCipher {
    let turns = 20;
    const reverse = async (payload: Uint8Array): Promise<Uint8Array<ArrayBuffer>> => {
      turns -= 5;
      for (let i = 0; i < turns; i += 1) await Promise.resolve();
      return payload.slice().reverse();
    };
    return {
      overhead: 30,
      seal: (payload) => reverse(payload),
      open: (payload, _, from) =>
        from === 'pt_eve' ? Promise.reject(new Error('forged')) : reverse(payload),
    };
  }

  test('keep their order both ways', async () => {
    const data = channels(reversing());
    await channel('reliable').open();
    for (const one of ['ab', 'cd', 'ef']) data.send(one, {});
    await settle();
    expect(channel('reliable').sent.map((one) => read(one)[1])).toEqual(['ba', 'dc', 'fe']);

    peer = new FakePeer();
    channels(reversing());
    const reliable = channel('reliable');
    for (const one of ['ab', 'cd']) {
      void reliable.say(frameMessage({ from: 'pt_a' }, bytes(one)));
    }
    await settle();
    expect(received.map(text)).toEqual(['ba', 'dc']);
  });

  test('that cannot be opened are told, and not shown', async () => {
    channels(reversing());
    await channel('reliable').say(frameMessage({ from: 'pt_eve' }, bytes('ab')));
    await settle();
    expect(received).toEqual([]);
    expect(unreadable).toEqual(['pt_eve']);
  });

  test('are measured as they will be', () => {
    const data = channels(reversing());
    expect(() => data.send(new Uint8Array(DATA_BYTES_MAX - 4 - 29), {})).toThrow(/16385 bytes/);
  });
});
