/**
 * What is encrypted, frame or message, is
 *
 *     clear bytes ‖ ciphertext and tag ‖ IV (12) ‖ number of clear bytes (1) ‖ key id (1)
 *
 * by AES-GCM with the clear bytes and a context authenticated. An IV is a random salt (8) and a
 * counter (4). Each sealer draws its own salt, and another when the counter has run through, so
 * that no IV comes twice under a key though a participant's tracks and stays share one. An edge
 * could play what it has seen again; the order of frames is protected towards the edge, not from it.
 */

const TAG = 16;
const IV = 12;
const SALT = 8;
const TRAILER = IV + 2;
const COUNTER_MAX = 0xffff_ffff;

/** By how many bytes encryption makes something longer. */
export const OVERHEAD = TAG + TRAILER;

/** The most bytes that stay in clear. */
const CLEAR_MAX = 255;

const NO_CONTEXT = new Uint8Array(0);

/** Encrypts under one key. */
export class Sealer {
  readonly #key: CryptoKey;
  readonly #keyId: number;
  readonly #iv = new Uint8Array(IV);
  #counter: number;

  /** `counter` is where to start. */
  constructor(key: CryptoKey, keyId: number, counter = 0) {
    this.#key = key;
    this.#keyId = keyId;
    this.#counter = counter;
    crypto.getRandomValues(this.#iv.subarray(0, SALT));
  }

  /** Encrypts `data` but for its first `clear` bytes. */
  async seal(
    data: Uint8Array,
    clear: number,
    context: Uint8Array = NO_CONTEXT,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const head = data.subarray(0, Math.min(clear, data.length, CLEAR_MAX));
    const iv = this.#nextIv();
    const sealed = await crypto.subtle.encrypt(
      { name: 'AES-GCM', iv, additionalData: concat(head, context) },
      this.#key,
      data.slice(head.length),
    );
    return concat(head, new Uint8Array(sealed), iv, [head.length, this.#keyId]);
  }

  #nextIv(): Uint8Array<ArrayBuffer> {
    if (this.#counter > COUNTER_MAX) {
      this.#counter = 0;
      crypto.getRandomValues(this.#iv.subarray(0, SALT));
    }
    new DataView(this.#iv.buffer).setUint32(SALT, this.#counter);
    this.#counter += 1;
    return this.#iv.slice();
  }
}

/** Decrypts what a `Sealer` made. @throws when it is something else, or the key is another. */
export async function open(
  data: Uint8Array,
  keyOf: (keyId: number) => Promise<CryptoKey>,
  context: Uint8Array = NO_CONTEXT,
): Promise<Uint8Array<ArrayBuffer>> {
  if (data.length < OVERHEAD) throw new RangeError('too short to be encrypted');
  const trailer = data.subarray(data.length - TRAILER);
  const clear = trailer[IV] ?? 0;
  const keyId = trailer[IV + 1] ?? 0;
  if (clear > data.length - OVERHEAD) throw new RangeError('more clear bytes than there are');
  const head = data.subarray(0, clear);
  const plain = await crypto.subtle.decrypt(
    { name: 'AES-GCM', iv: trailer.slice(0, IV), additionalData: concat(head, context) },
    await keyOf(keyId),
    data.slice(clear, data.length - TRAILER),
  );
  return concat(head, new Uint8Array(plain));
}

function concat(...parts: (Uint8Array | number[])[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
