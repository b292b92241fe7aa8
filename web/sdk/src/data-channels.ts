import { frameMessage, parseMessage, type DataMessage, type SendOptions } from './data.ts';
import { DataQueue, type DataLabel } from './data-queue.ts';
import { DataError } from './errors.ts';
import type { DataChannelLike, PeerLike, Platform } from './platform.ts';

/** Encrypts payloads between the participants. */
export interface DataCipher {
  seal(payload: Uint8Array, topic: string): Promise<Uint8Array<ArrayBuffer>>;
  /** @throws when the payload was not sealed by `from` with the same key and topic. */
  open(
    payload: Uint8Array<ArrayBuffer>,
    topic: string,
    from: string,
  ): Promise<Uint8Array<ArrayBuffer>>;
  /** By how many bytes `seal` makes a payload longer. */
  readonly overhead: number;
}

/** What the channels tell their owner. */
export interface DataPort {
  onMessage(message: DataMessage): void;
  /** A message cannot be decrypted. */
  onUnreadable(from: string): void;
  /** A message that was taken cannot be sent after all. */
  onError(error: DataError): void;
}

const CHANNELS: readonly [DataLabel, RTCDataChannelInit][] = [
  ['reliable', { ordered: true }],
  ['lossy', { ordered: false, maxRetransmits: 0 }],
];

/** The data channels of a room, over as many peer connections as it takes. */
export class DataChannels {
  readonly #cipher: DataCipher | undefined;
  readonly #port: DataPort;
  readonly #queue: DataQueue;
  /** Those of each peer connection: two while the client moves from one edge to another. */
  readonly #bound = new Set<ReadonlyMap<DataLabel, DataChannelLike>>();
  /** Those in use: of two that are open the later. */
  readonly #channels = new Map<DataLabel, DataChannelLike>();
  /** Sealing and opening take their time: what came first is done first. */
  #sealing: Promise<void> | undefined;
  #opening: Promise<void> = Promise.resolve();

  constructor(platform: Platform, cipher: DataCipher | undefined, port: DataPort) {
    this.#cipher = cipher;
    this.#port = port;
    this.#queue = new DataQueue(platform);
  }

  /**
   * Opens the channels over `peer`; before its first offer, so that it speaks of them. Each takes the
   * place of the one before once it is open.
   *
   * @returns what to call when the peer connection is gone: what is sent then waits for the next.
   */
  bind(peer: PeerLike): () => void {
    const bound = new Map<DataLabel, DataChannelLike>();
    for (const [label, init] of CHANNELS) {
      const channel = peer.createDataChannel(label, init);
      channel.binaryType = 'arraybuffer';
      channel.onopen = () => {
        this.#channels.set(label, channel);
        this.#queue.drain();
      };
      channel.onmessage = (event) => {
        // The edges of two peer connections both send what comes.
        if ((this.#channels.get(label) ?? channel) === channel) this.#receive(event.data);
      };
      bound.set(label, channel);
    }
    this.#bound.add(bound);
    this.#queue.connect((label, data) => this.#put(label, data));
    return () => this.#unbind(bound);
  }

  /** Forgets what waits. */
  close(): void {
    this.#channels.clear();
    this.#queue.clear();
  }

  /** Sends a message. @throws DataError */
  send(payload: string | Uint8Array, { to, topic, reliable = true }: SendOptions): void {
    const label = reliable ? 'reliable' : 'lossy';
    const header = { ...(to && { to }), ...(topic !== undefined && { topic }) };
    const bytes = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload.slice();
    const cipher = this.#cipher;
    if (!cipher) {
      this.#queue.push(label, frameMessage(header, bytes));
      return;
    }
    // Refused now rather than later.
    frameMessage(header, new Uint8Array(bytes.length + cipher.overhead));
    const sealed = cipher.seal(bytes, topic ?? '');
    this.#sealing = Promise.allSettled([sealed, this.#sealing]).then(async () => {
      try {
        this.#queue.push(label, frameMessage(header, await sealed));
      } catch (cause) {
        this.#port.onError(
          cause instanceof DataError
            ? cause
            : new DataError('unencrypted', 'the message cannot be encrypted', { cause }),
        );
      }
    });
  }

  #unbind(bound: ReadonlyMap<DataLabel, DataChannelLike>): void {
    this.#bound.delete(bound);
    for (const [label, channel] of bound) {
      channel.onopen = channel.onmessage = null;
      if (this.#channels.get(label) !== channel) continue;
      const other = [...this.#bound].map((one) => one.get(label));
      const open = other.find((one) => one?.readyState === 'open');
      if (open) this.#channels.set(label, open);
      else this.#channels.delete(label);
    }
  }

  #put(label: DataLabel, data: Uint8Array<ArrayBuffer>): boolean {
    const channel = this.#channels.get(label);
    if (channel?.readyState !== 'open') return false;
    try {
      channel.send(data.buffer);
      return true;
    } catch {
      // The browser's own buffer is full, or the channel closes just now.
      return false;
    }
  }

  #receive(data: unknown): void {
    if (!(data instanceof ArrayBuffer)) return;
    const message = parseMessage(new Uint8Array(data));
    if (!message) return;
    const cipher = this.#cipher;
    if (!cipher) {
      this.#port.onMessage(message);
      return;
    }
    const { payload, topic, from } = message;
    const opened = cipher.open(payload, topic ?? '', from);
    this.#opening = Promise.allSettled([opened, this.#opening]).then(async () => {
      try {
        this.#port.onMessage({ ...message, payload: await opened });
      } catch {
        this.#port.onUnreadable(from);
      }
    });
  }
}
