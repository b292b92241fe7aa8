import { beforeEach, describe, expect, test } from 'vitest';
import { OVERHEAD, Sealer, open } from '../src/e2ee/cipher.ts';
import { FrameWorker, type FromWorker } from '../src/e2ee/frame-worker.ts';
import { FrameDecryptor, FrameEncryptor, clearBytes, type FrameLike } from '../src/e2ee/frames.ts';
import { KeyRing, deriveKey, generateE2eeKey, importSecret } from '../src/e2ee/keys.ts';

const SECRET = 'a secret of enough bytes';

const bytes = (...values: number[]): Uint8Array<ArrayBuffer> => new Uint8Array(values);
const hex = (data: Uint8Array): string =>
  [...data].map((byte) => byte.toString(16).padStart(2, '0')).join('');

async function ring(secret = SECRET, keyId = 0): Promise<KeyRing> {
  const keys = new KeyRing();
  keys.add(keyId, await importSecret(secret));
  return keys;
}

function frame(data: Uint8Array, mimeType?: string, type = 'delta'): FrameLike {
  return {
    type,
    data: data.slice().buffer,
    getMetadata: () => (mimeType === undefined ? {} : { mimeType }),
  };
}

describe('a secret', () => {
  test('is a text, bytes or a key for HKDF', async () => {
    const bytesOf = new TextEncoder().encode(SECRET);
    const base = await crypto.subtle.importKey('raw', bytesOf, 'HKDF', false, ['deriveKey']);
    const sealed = await new Sealer(await deriveKey(base, 'media', 'pt_a'), 0).seal(bytes(7), 0);
    for (const secret of [SECRET, bytesOf, base]) {
      const key = await deriveKey(await importSecret(secret), 'media', 'pt_a');
      expect(await open(sealed, () => Promise.resolve(key))).toEqual(bytes(7));
    }
  });

  test('that is short or for something else is refused', async () => {
    await expect(importSecret('short')).rejects.toThrow(/5 bytes: at least 16/);
    const aes = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 128 }, false, [
      'encrypt',
    ]);
    await expect(importSecret(aes)).rejects.toThrow(/HKDF/);
  });

  test('that is made up fits into an address, and differs', async () => {
    const key = generateE2eeKey();
    expect(key).toMatch(/^[A-Za-z0-9_-]{22}$/);
    expect(generateE2eeKey()).not.toBe(key);
    await importSecret(key);
  });

  test('gives each participant and each purpose a key of its own', async () => {
    const keys = await ring();
    const sealed = await new Sealer(await keys.key(0, 'media', 'pt_a'), 0).seal(bytes(1, 2), 0);
    for (const other of [
      await keys.key(0, 'media', 'pt_b'),
      await keys.key(0, 'data', 'pt_a'),
      await (await ring('another secret, as long')).key(0, 'media', 'pt_a'),
    ]) {
      await expect(open(sealed, () => Promise.resolve(other))).rejects.toThrow();
    }
  });

  test('is HKDF with SHA-256 of the secret', async () => {
    const derived = await crypto.subtle.importKey(
      'raw',
      new TextEncoder().encode(SECRET),
      'HKDF',
      false,
      ['deriveBits'],
    );
    const text = (value: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(value);
    const raw = await crypto.subtle.deriveBits(
      { name: 'HKDF', hash: 'SHA-256', salt: text('sluice e2ee 1'), info: text('media pt_a') },
      derived,
      128,
    );
    const key = await crypto.subtle.importKey('raw', raw, 'AES-GCM', false, ['decrypt']);
    const keys = await ring();
    const sealed = await new Sealer(await keys.key(0, 'media', 'pt_a'), 0).seal(bytes(5), 0);
    expect(await open(sealed, () => Promise.resolve(key))).toEqual(bytes(5));
  });
});

describe('sealing', () => {
  let key: CryptoKey;
  const keyOf = (): Promise<CryptoKey> => Promise.resolve(key);

  beforeEach(async () => {
    key = await (await ring()).key(0, 'media', 'pt_a');
  });

  const iv = (sealed: Uint8Array): string => hex(sealed.slice(-14, -2));

  test('leaves the first bytes in clear, and says how many and with which key', async () => {
    const data = bytes(1, 2, 3, 4, 5);
    const sealed = await new Sealer(key, 9).seal(data, 3);
    expect(sealed).toHaveLength(data.length + OVERHEAD);
    expect([...sealed.subarray(0, 3)]).toEqual([1, 2, 3]);
    expect([...sealed.slice(-2)]).toEqual([3, 9]);
    expect(hex(sealed)).not.toContain('0405');
    expect(await open(sealed, keyOf)).toEqual(data);
  });

  test('covers everything: one bit is enough to notice', async () => {
    const sealed = await new Sealer(key, 0).seal(bytes(1, 2, 3, 4, 5), 2, bytes(8));
    await expect(open(sealed, keyOf)).rejects.toThrow();
    expect(await open(sealed, keyOf, bytes(8))).toEqual(bytes(1, 2, 3, 4, 5));
    for (let i = 0; i < sealed.length - 1; i += 1) {
      const changed = sealed.slice();
      changed[i] = (changed[i] ?? 0) ^ 1;
      await expect(open(changed, keyOf, bytes(8))).rejects.toThrow();
    }
    await expect(open(sealed.slice(0, OVERHEAD - 1), keyOf, bytes(8))).rejects.toThrow(/short/);
  });

  test('never uses an initialization vector twice, also when the counter has run through', async () => {
    const seen = new Set<string>();
    for (const start of [0, 0, 0xffff_fffe]) {
      const sealer = new Sealer(key, 0, start);
      for (let i = 0; i < 50; i += 1) seen.add(iv(await sealer.seal(bytes(1), 0)));
    }
    expect(seen.size).toBe(150);
    const late = new Sealer(key, 0, 0xffff_ffff);
    const last = iv(await late.seal(bytes(1), 0));
    const next = iv(await late.seal(bytes(1), 0));
    expect([last.slice(16), next.slice(16)]).toEqual(['ffffffff', '00000000']);
    expect(next.slice(0, 16)).not.toBe(last.slice(0, 16));
  });

  test('counts within one salt, also when many are sealed at once', async () => {
    const sealer = new Sealer(key, 0);
    const sealed = await Promise.all([1, 2, 3].map((value) => sealer.seal(bytes(value), 0)));
    expect(sealed.map((one) => iv(one).slice(16))).toEqual(['00000000', '00000001', '00000002']);
  });
});

describe('frames', () => {
  test.each([
    ['audio/opus', false, 1],
    ['video/VP8', true, 10],
    ['video/VP8', false, 3],
    ['video/VP9', true, 0],
    ['video/H264', true, undefined],
    ['video/AV1', false, undefined],
  ])('of %s (key: %s) have %s clear bytes', (codec, keyFrame, clear) => {
    expect(clearBytes(codec, keyFrame)).toBe(clear);
  });

  test('come out as they went in', async () => {
    const keys = await ring();
    const encryptor = new FrameEncryptor(keys, 'pt_a', 'video/vp8', () => {});
    const decryptor = new FrameDecryptor(keys, () => {});
    decryptor.assign('pt_a');
    const data = bytes(...Array.from({ length: 40 }, (_, i) => i));
    for (const [type, clear] of [
      ['key', 10],
      ['delta', 3],
    ] as const) {
      const one = frame(data, undefined, type);
      expect(await encryptor.transform(one)).toBe(true);
      const sent = new Uint8Array(one.data);
      expect(sent.subarray(0, clear)).toEqual(data.subarray(0, clear));
      expect(sent.subarray(clear, clear + 8)).not.toEqual(data.subarray(clear, clear + 8));
      expect(await decryptor.transform(one)).toBe(true);
      expect(new Uint8Array(one.data)).toEqual(data);
    }
  });

  test('shorter than what stays in clear, and empty ones, come through', async () => {
    const keys = await ring();
    const encryptor = new FrameEncryptor(keys, 'pt_a', 'video/vp8', () => {});
    const decryptor = new FrameDecryptor(keys, () => {});
    decryptor.assign('pt_a');
    for (const data of [bytes(1, 2), bytes()]) {
      const one = frame(data, undefined, 'key');
      expect(await encryptor.transform(one)).toBe(true);
      expect(await decryptor.transform(one)).toBe(true);
      expect(new Uint8Array(one.data)).toEqual(data);
    }
  });

  test('of a codec that cannot be encrypted are not sent, and that is said once', async () => {
    const unsupported: string[] = [];
    const encryptor = new FrameEncryptor(await ring(), 'pt_a', 'video/vp8', (codec) =>
      unsupported.push(codec),
    );
    expect(await encryptor.transform(frame(bytes(1, 2), 'video/H264'))).toBe(false);
    expect(await encryptor.transform(frame(bytes(1, 2), 'video/H264'))).toBe(false);
    expect(unsupported).toEqual(['video/H264']);
  });

  test('that are not encrypted, or of somebody else, are not played', async () => {
    const told: [string, boolean][] = [];
    const keys = await ring();
    const decryptor = new FrameDecryptor(keys, (id, works) => told.push([id, works]));
    const plain = bytes(...Array.from({ length: 60 }, () => 0));
    expect(await decryptor.transform(frame(plain))).toBe(false);
    decryptor.assign('pt_b');
    const encryptor = new FrameEncryptor(keys, 'pt_a', 'audio/opus', () => {});
    for (let i = 0; i < 30; i += 1) {
      const one = frame(plain);
      await encryptor.transform(one);
      expect(await decryptor.transform(i % 2 ? one : frame(plain))).toBe(false);
    }
    expect(told).toEqual([['pt_b', false]]);
    const right = frame(plain);
    await new FrameEncryptor(keys, 'pt_b', 'audio/opus', () => {}).transform(right);
    expect(await decryptor.transform(right)).toBe(true);
    expect(told).toEqual([
      ['pt_b', false],
      ['pt_b', true],
    ]);
  });

  test('of the key before are still read after a change', async () => {
    const keys = await ring();
    const encryptor = new FrameEncryptor(keys, 'pt_a', 'audio/opus', () => {});
    const decryptor = new FrameDecryptor(keys, () => {});
    decryptor.assign('pt_a');
    const before = frame(bytes(1, 2, 3));
    await encryptor.transform(before);
    keys.add(1, await importSecret('the secret that comes next'));
    const after = frame(bytes(1, 2, 3));
    await encryptor.transform(after);
    expect(new Uint8Array(after.data).at(-1)).toBe(1);
    expect(await decryptor.transform(before)).toBe(true);
    expect(await decryptor.transform(after)).toBe(true);
  });
});

test('the worker leads frames through, loses those it cannot read, and goes on', async () => {
  const posted: FromWorker[] = [];
  const worker = new FrameWorker((message) => posted.push(message));
  worker.handle({ type: 'secret', keyId: 0, secret: await importSecret(SECRET) });
  const run = async (role: 'send' | 'receive', frames: FrameLike[]): Promise<FrameLike[]> => {
    const out: FrameLike[] = [];
    const options = { id: 1, role, participantId: 'pt_a', codec: 'video/vp9' };
    const readable = new ReadableStream<FrameLike>({
      start: (controller) => {
        for (const one of frames) controller.enqueue(one);
        controller.close();
      },
    });
    const writable = new WritableStream<FrameLike>({
      write: (one) => {
        out.push(one);
      },
    });
    await worker.transform(options, readable, writable);
    return out;
  };
  const sent = await run('send', [frame(bytes(1)), frame(bytes(2), 'video/AV1'), frame(bytes(3))]);
  expect(posted).toEqual([{ type: 'unsupported', codec: 'video/AV1' }]);
  const played = await run('receive', [frame(bytes(9, 9)), ...sent]);
  expect(played.map((one) => [...new Uint8Array(one.data)])).toEqual([[1], [3]]);
});
