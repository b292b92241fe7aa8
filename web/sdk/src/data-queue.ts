import { DATA_BYTES_PER_SECOND, DATA_MESSAGES_PER_SECOND } from './data.ts';
import { DataError } from './errors.ts';
import type { Platform } from './platform.ts';

/** The most that waits for a channel to open, or for the edge's next second. */
const WAITING_MESSAGES_MAX = 100;
const WAITING_BYTES_MAX = 256 * 1024;

/** Where a message goes. */
export type DataLabel = 'reliable' | 'lossy';

interface Waiting {
  label: DataLabel;
  data: Uint8Array<ArrayBuffer>;
}

/**
 * Messages on their way out: they wait for their channel, and go no faster than an edge takes them.
 * When the queue is full, the next message is refused, so that its sender knows.
 */
export class DataQueue {
  readonly #platform: Platform;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  /** When messages were sent within the last second, and how large they were. */
  #sent: { at: number; bytes: number }[] = [];
  #sink: ((label: DataLabel, data: Uint8Array<ArrayBuffer>) => boolean) | undefined;
  #cancel: (() => void) | undefined;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  /** Takes a message. @throws DataError when too much waits already. */
  push(label: DataLabel, data: Uint8Array<ArrayBuffer>): void {
    const bytes = this.#waitingBytes + data.length;
    if (this.#waiting.length >= WAITING_MESSAGES_MAX || bytes > WAITING_BYTES_MAX) {
      throw new DataError(
        'too_much',
        `${this.#waiting.length} messages of ${this.#waitingBytes} bytes wait already: at most ` +
          `${WAITING_MESSAGES_MAX} and ${WAITING_BYTES_MAX} bytes may, and as much is sent a second`,
      );
    }
    this.#waiting.push({ label, data });
    this.#waitingBytes = bytes;
    this.drain();
  }

  /**
   * Sends into `sink` from now on, which returns whether it took a message; nowhere when absent,
   * while messages wait.
   */
  connect(sink: ((label: DataLabel, data: Uint8Array<ArrayBuffer>) => boolean) | undefined): void {
    this.#sink = sink;
    this.drain();
  }

  /** Forgets what waits. */
  clear(): void {
    this.#cancel?.();
    this.#cancel = this.#sink = undefined;
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  /** Sends what can be sent now. */
  drain(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    const now = this.#platform.now();
    this.#sent = this.#sent.filter(({ at }) => at > now - 1_000);
    let bytes = this.#sent.reduce((sum, one) => sum + one.bytes, 0);
    // A channel that is closed holds up its own messages only.
    const blocked = new Set<DataLabel>();
    const left: Waiting[] = [];
    let full = false;
    for (const one of this.#waiting) {
      const size = one.data.length;
      full ||=
        this.#sent.length >= DATA_MESSAGES_PER_SECOND || bytes + size > DATA_BYTES_PER_SECOND;
      if (full || blocked.has(one.label) || !this.#sink?.(one.label, one.data)) {
        blocked.add(one.label);
        left.push(one);
        continue;
      }
      bytes += size;
      this.#waitingBytes -= size;
      this.#sent.push({ at: now, bytes: size });
    }
    this.#waiting = left;
    const [oldest] = this.#sent;
    if (full && this.#sink && oldest) {
      this.#cancel = this.#platform.after(oldest.at + 1_000 - now, () => this.drain());
    }
  }
}
