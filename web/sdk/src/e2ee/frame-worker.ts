import { FrameDecryptor, FrameEncryptor, type FrameLike } from './frames.ts';
import { KeyRing } from './keys.ts';

/** What a transform is for. */
export interface TransformOptions {
  /** Names a receiver's transform in `assign`. */
  id: number;
  role: 'send' | 'receive';
  /** Whose frames they are. */
  participantId: string;
  /** The codec of frames that do not tell theirs, as a MIME type. */
  codec: string;
}

/** What the page tells the worker. */
export type ToWorker =
  | { type: 'secret'; keyId: number; secret: CryptoKey }
  | { type: 'assign'; id: number; participantId: string | undefined }
  | { type: 'forget' }
  | {
      type: 'streams';
      options: TransformOptions;
      readable: ReadableStream<FrameLike>;
      writable: WritableStream<FrameLike>;
    };

/** What the worker tells the page. */
export type FromWorker =
  | { type: 'decryption'; participantId: string; works: boolean }
  | { type: 'unsupported'; codec: string };

/** The frames of every track, on their way through the worker. */
export class FrameWorker {
  readonly #post: (message: FromWorker) => void;
  readonly #keys = new KeyRing();
  readonly #receivers = new Map<number, FrameDecryptor>();

  constructor(post: (message: FromWorker) => void) {
    this.#post = post;
  }

  /** Takes a message of the page. */
  handle(message: ToWorker): void {
    switch (message.type) {
      case 'secret':
        this.#keys.add(message.keyId, message.secret);
        return;
      case 'assign':
        this.#receivers.get(message.id)?.assign(message.participantId);
        return;
      case 'forget':
        this.#receivers.clear();
        return;
      case 'streams':
        void this.transform(message.options, message.readable, message.writable);
        return;
    }
  }

  /** Works on the frames of one track until it ends. */
  async transform(
    options: TransformOptions,
    readable: ReadableStream<FrameLike>,
    writable: WritableStream<FrameLike>,
  ): Promise<void> {
    const work = this.#worker(options);
    const frames = new TransformStream<FrameLike, FrameLike>({
      transform: async (frame, controller) => {
        // A frame that cannot be worked on is lost; the stream must go on.
        if (await work.transform(frame).catch(() => false)) controller.enqueue(frame);
      },
    });
    await readable
      .pipeThrough(frames)
      .pipeTo(writable)
      .catch(() => {
        // The peer connection is closed.
      });
  }

  #worker({ id, role, participantId, codec }: TransformOptions): FrameEncryptor | FrameDecryptor {
    if (role === 'send') {
      return new FrameEncryptor(this.#keys, participantId, codec, (unsupported) =>
        this.#post({ type: 'unsupported', codec: unsupported }),
      );
    }
    const decryptor = new FrameDecryptor(this.#keys, (whose, works) =>
      this.#post({ type: 'decryption', participantId: whose, works }),
    );
    decryptor.assign(participantId);
    this.#receivers.set(id, decryptor);
    return decryptor;
  }
}
