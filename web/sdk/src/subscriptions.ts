import type { Platform } from './platform.ts';
import {
  SUBSCRIPTIONS_MAX,
  type ClientMessage,
  type Priority,
  type Subscription,
  type Wish,
} from './protocol.ts';

/** What the client wants of a track that somebody else publishes. */
export interface TrackWish {
  /** Whether to receive it at all; a track that is not has no media stream track. */
  subscribed?: boolean;
  /** Whether anybody sees it now; a picture that is hidden costs nothing. */
  visible?: boolean;
  /** The height at which it is shown, in physical pixels; any when absent. */
  height?: number;
  /** The most pictures a second that are of use; any when absent. */
  frameRate?: number;
  /** Which tracks get better first when not all can be at their best; `normal` when absent. */
  priority?: Priority;
}

/** The least time between two messages, in milliseconds. */
const EVERY_MS = 100;

/** The most that the wire's height and frame rate can say. */
const HEIGHT_MAX = 65_535;
const FRAME_RATE_MAX = 255;

/** How the client wants the tracks of others, kept in step with whichever edge serves it. */
export class Subscriptions {
  readonly #platform: Platform;
  readonly #wishes = new Map<string, Wish>();
  /** Tracks whose wish the edge has not heard. */
  readonly #due = new Set<string>();
  #send: ((message: ClientMessage) => void) | undefined;
  #sentAt = -EVERY_MS;
  #cancel: (() => void) | undefined;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  /** Sets a track's wish, or leaves the track to the edge. */
  set(trackId: string, wish: TrackWish | undefined): void {
    const before = this.#wishes.get(trackId);
    const next = wish && onWire(wish);
    if (JSON.stringify(before) === JSON.stringify(next)) return;
    if (next) this.#wishes.set(trackId, next);
    else this.#wishes.delete(trackId);
    this.#due.add(trackId);
    this.#schedule();
  }

  /** Drops the wish of a track that is gone; the edge knows. */
  forget(trackId: string): void {
    this.#wishes.delete(trackId);
    this.#due.delete(trackId);
  }

  /** Messages reach an edge, which may not have heard any wish. */
  linkUp(send: (message: ClientMessage) => void): void {
    this.#send = send;
    for (const trackId of this.#wishes.keys()) this.#due.add(trackId);
    this.#schedule();
  }

  /** Messages no longer reach the edge that `send` leads to. */
  linkDown(send: (message: ClientMessage) => void): void {
    if (this.#send !== send) return;
    this.#send = undefined;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #schedule(): void {
    if (!this.#send || this.#cancel || this.#due.size === 0) return;
    const wait = this.#sentAt + EVERY_MS - this.#platform.now();
    if (wait > 0) {
      this.#cancel = this.#platform.after(wait, () => this.#flush());
      return;
    }
    let cancelled = false;
    this.#cancel = () => {
      cancelled = true;
    };
    queueMicrotask(() => {
      if (!cancelled) this.#flush();
    });
  }

  #flush(): void {
    this.#cancel = undefined;
    this.#sentAt = this.#platform.now();
    const tracks = [...this.#due].map((trackId): Subscription => {
      const wish = this.#wishes.get(trackId);
      return { track_id: trackId, ...(wish && { wish }) };
    });
    this.#due.clear();
    for (let i = 0; i < tracks.length; i += SUBSCRIPTIONS_MAX) {
      this.#send?.({
        type: 'subscription.update',
        tracks: tracks.slice(i, i + SUBSCRIPTIONS_MAX),
      });
    }
  }
}

function onWire({ subscribed, visible, height, frameRate, priority }: TrackWish): Wish {
  return {
    ...(subscribed !== undefined && { subscribed }),
    ...(visible !== undefined && { visible }),
    ...(height !== undefined && { height: whole(height, HEIGHT_MAX) }),
    ...(frameRate !== undefined && { frame_rate: whole(frameRate, FRAME_RATE_MAX) }),
    ...(priority !== undefined && { priority }),
  };
}

function whole(value: number, max: number): number {
  return Math.min(max, Math.max(0, Math.round(value)));
}
