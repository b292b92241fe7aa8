import type { DataCipher } from '../data-channels.ts';
import type { VideoCodec } from '../encodings.ts';
import { EncryptionError } from '../errors.ts';
import type { Platform, TransceiverLike } from '../platform.ts';
import { OVERHEAD, Sealer, open } from './cipher.ts';
import type { FromWorker } from './frame-worker.ts';
import { KeyRing, importSecret, type E2eeKey } from './keys.ts';
import type { FrameTransforms } from './transforms.ts';

/** End-to-end encryption: nobody but those with the same key sees, hears or reads anything. */
export interface E2eeOptions {
  key: E2eeKey;
  /** Tells this key from those before and after it, 0 to 255; 0 when absent. */
  keyId?: number;
}

/** The codec that every browser sends and that can be encrypted. */
const CODEC: VideoCodec = 'vp8';

/**
 * Which codec to send pictures in. H.264's and AV1's packets are cut along what is inside a frame,
 * so that an encrypted one cannot be sent.
 *
 * @throws EncryptionError for a codec that cannot be encrypted.
 */
export function encryptableCodec(wanted: VideoCodec | undefined): VideoCodec {
  if (wanted === 'h264' || wanted === 'av1') {
    throw new EncryptionError(
      'unsupported_codec',
      `${wanted} cannot be encrypted end to end: vp8 and vp9 can`,
    );
  }
  return wanted ?? CODEC;
}

/** The encryption of one room, over as many sessions as it takes. */
export class Encryption implements DataCipher {
  readonly overhead = OVERHEAD;
  /** The worker could not decrypt a participant's media, or can again. */
  onDecryption: (participantId: string, works: boolean) => void = () => {};
  /** Something is not sent, since it cannot be encrypted. */
  onError: (error: EncryptionError) => void = () => {};
  readonly #transforms: FrameTransforms;
  readonly #keys = new KeyRing();
  readonly #codec: VideoCodec;
  #participantId = '';
  #sealer: Promise<Sealer> | undefined;
  #receivers = new WeakMap<TransceiverLike, number>();
  #ids = 0;

  private constructor(transforms: FrameTransforms, codec: VideoCodec) {
    this.#transforms = transforms;
    this.#codec = codec;
    transforms.onmessage = (message) => this.#handle(message);
  }

  /** Starts the worker with the first key. @throws EncryptionError */
  static async start(
    platform: Platform,
    options: E2eeOptions,
    codec: VideoCodec,
  ): Promise<Encryption> {
    const secret = await importSecret(options.key);
    const keyId = checkedKeyId(options.keyId ?? 0);
    const transforms = platform.frameTransforms();
    if (!transforms) {
      throw new EncryptionError('unsupported', 'this browser cannot encrypt end to end');
    }
    const encryption = new Encryption(transforms, codec);
    encryption.#add(keyId, secret);
    return encryption;
  }

  /** What peer connections need. */
  get configuration(): RTCConfiguration {
    return (this.#transforms.streams ? { encodedInsertableStreams: true } : {}) as RTCConfiguration;
  }

  /** Encrypts with another key from now on. @throws EncryptionError */
  async setKey(key: E2eeKey, keyId: number): Promise<void> {
    this.#add(checkedKeyId(keyId), await importSecret(key));
  }

  /** Begins a session, as this participant; in place of the one before unless it is `beside` it. */
  begin(participantId: string, beside: boolean): void {
    if (participantId !== this.#participantId) this.#sealer = undefined;
    this.#participantId = participantId;
    if (beside) return;
    this.#receivers = new WeakMap();
    this.#transforms.post({ type: 'forget' });
  }

  /** Encrypts what an own m-line sends; to be called before it is described. */
  send({ sender }: TransceiverLike, kind: 'audio' | 'video'): void {
    this.#transforms.attach(sender, {
      id: this.#nextId(),
      role: 'send',
      participantId: this.#participantId,
      codec: kind === 'audio' ? 'audio/opus' : `video/${this.#codec}`,
    });
  }

  /** Decrypts what an m-line of the edge carries of `participantId`. */
  receive(transceiver: TransceiverLike, participantId: string): void {
    const known = this.#receivers.get(transceiver);
    if (known !== undefined) {
      this.#transforms.post({ type: 'assign', id: known, participantId });
      return;
    }
    const id = this.#nextId();
    this.#receivers.set(transceiver, id);
    this.#transforms.attach(transceiver.receiver, { id, role: 'receive', participantId, codec: '' });
  }

  async seal(payload: Uint8Array, topic: string): Promise<Uint8Array<ArrayBuffer>> {
    return (await this.#current()).seal(payload, 0, context(topic));
  }

  open(
    payload: Uint8Array<ArrayBuffer>,
    topic: string,
    from: string,
  ): Promise<Uint8Array<ArrayBuffer>> {
    return open(payload, (keyId) => this.#keys.key(keyId, 'data', from), context(topic));
  }

  /** Ends the worker. */
  close(): void {
    this.#transforms.close();
  }

  #add(keyId: number, secret: CryptoKey): void {
    this.#keys.add(keyId, secret);
    this.#sealer = undefined;
    this.#transforms.post({ type: 'secret', keyId, secret });
  }

  #current(): Promise<Sealer> {
    const keyId = this.#keys.current;
    this.#sealer ??= this.#keys
      .key(keyId, 'data', this.#participantId)
      .then((key) => new Sealer(key, keyId));
    return this.#sealer;
  }

  #handle(message: FromWorker): void {
    if (message.type === 'decryption') {
      this.onDecryption(message.participantId, message.works);
    } else {
      const words = `${message.codec} cannot be encrypted end to end, and is not sent`;
      this.onError(new EncryptionError('unsupported_codec', words));
    }
  }

  #nextId(): number {
    this.#ids += 1;
    return this.#ids;
  }
}

/** A message cannot be passed off as one about something else. */
function context(topic: string): Uint8Array {
  return new TextEncoder().encode(topic);
}

function checkedKeyId(keyId: number): number {
  if (Number.isInteger(keyId) && keyId >= 0 && keyId <= 255) return keyId;
  throw new EncryptionError('bad_key', `the key id is ${keyId}: whole numbers from 0 to 255 fit`);
}
