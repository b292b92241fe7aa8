import { Sealer, open } from './cipher.ts';
import type { KeyRing } from './keys.ts';

/** The part of an RTCEncodedVideoFrame or RTCEncodedAudioFrame that is used. */
export interface FrameLike {
  /** `key`, `delta` or `empty`; absent for sound. */
  readonly type?: string;
  data: ArrayBuffer;
  getMetadata(): { mimeType?: string };
}

/** After this many failures in a row a track counts as unreadable; fewer happen as keys change. */
const FAILURES = 20;

/**
 * How many bytes at the start of a frame stay in clear, since the edge or the browser's packets
 * need them: what Opus and VP8 say of a frame. `undefined` for a codec that cannot be encrypted.
 */
export function clearBytes(codec: string, keyFrame: boolean): number | undefined {
  const name = codec.toLowerCase();
  if (name.startsWith('audio/')) return 1;
  if (name === 'video/vp8') return keyFrame ? 10 : 3;
  if (name === 'video/vp9') return 0;
  return undefined;
}

/** Encrypts the frames of one sender. */
export class FrameEncryptor {
  readonly #keys: KeyRing;
  readonly #participantId: string;
  readonly #codec: string;
  readonly #onUnsupported: (codec: string) => void;
  #sealer: { keyId: number; sealer: Promise<Sealer> } | undefined;
  #told = false;

  /** `codec` is used for frames that do not tell theirs. */
  constructor(
    keys: KeyRing,
    participantId: string,
    codec: string,
    onUnsupported: (codec: string) => void,
  ) {
    this.#keys = keys;
    this.#participantId = participantId;
    this.#codec = codec;
    this.#onUnsupported = onUnsupported;
  }

  /** Encrypts a frame in place; whether it may be sent. */
  async transform(frame: FrameLike): Promise<boolean> {
    if (frame.data.byteLength === 0) return true;
    const codec = frame.getMetadata().mimeType ?? this.#codec;
    const clear = clearBytes(codec, frame.type === 'key');
    if (clear === undefined) {
      if (!this.#told) this.#onUnsupported(codec);
      this.#told = true;
      return false;
    }
    const sealer = await this.#current();
    frame.data = (await sealer.seal(new Uint8Array(frame.data), clear)).buffer;
    return true;
  }

  #current(): Promise<Sealer> {
    const keyId = this.#keys.current;
    if (this.#sealer?.keyId !== keyId) {
      const sealer = this.#keys
        .key(keyId, 'media', this.#participantId)
        .then((key) => new Sealer(key, keyId));
      this.#sealer = { keyId, sealer };
    }
    return this.#sealer.sealer;
  }
}

/** Decrypts the frames of one receiver; what is not encrypted is not played either. */
export class FrameDecryptor {
  readonly #keys: KeyRing;
  readonly #onReadable: (participantId: string, readable: boolean) => void;
  #participantId: string | undefined;
  #failures = 0;

  constructor(
    keys: KeyRing,
    onReadable: (participantId: string, readable: boolean) => void,
  ) {
    this.#keys = keys;
    this.#onReadable = onReadable;
  }

  /** Frames are of this participant from now on. */
  assign(participantId: string | undefined): void {
    if (this.#participantId === participantId) return;
    this.#participantId = participantId;
    this.#failures = 0;
  }

  /** Decrypts a frame in place; whether it may be played. */
  async transform(frame: FrameLike): Promise<boolean> {
    if (frame.data.byteLength === 0) return true;
    const participantId = this.#participantId;
    if (participantId === undefined) return false;
    try {
      const data = await open(new Uint8Array(frame.data), (keyId) =>
        this.#keys.key(keyId, 'media', participantId),
      );
      frame.data = data.buffer;
      if (this.#failures >= FAILURES) this.#onReadable(participantId, true);
      this.#failures = 0;
      return true;
    } catch {
      this.#failures += 1;
      if (this.#failures === FAILURES) this.#onReadable(participantId, false);
      return false;
    }
  }
}
