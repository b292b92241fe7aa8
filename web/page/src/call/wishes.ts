import type { Room, TrackWish } from '../../../sdk/src/index.ts';
import type { TileSource } from './tile.ts';

/** While a window is drawn larger, sizes change with every picture; what counts is the last. */
const SETTLED_MS = 150;

/** How a picture of somebody else is shown. */
export interface Shown {
  source: TileSource;
  /** The tile's height in CSS pixels. */
  height: number;
  /** Physical pixels in one of CSS. */
  pixelRatio: number;
  /** Whether any of the tile is in the window, and the window itself is seen. */
  onScreen: boolean;
  /** Whether it shows whom the edge hears above the others. */
  dominant: boolean;
}

/** What is wanted of a picture that is shown so. */
export function wishFor({ source, height, pixelRatio, onScreen, dominant }: Shown): TrackWish {
  const priority = source === 'screen' || dominant ? 'high' : 'normal';
  // No layer has no height: a tile that was not laid out yet is not seen either.
  if (!onScreen || height <= 0) return { visible: false, priority };
  return { visible: true, height: Math.round(height * pixelRatio), priority };
}

interface Watched {
  element: HTMLElement;
  source: TileSource;
  participantId: string;
  intersects: boolean;
}

/** Tells the edge how large the pictures of others are shown, and which are not seen at all. */
export class Wishes {
  readonly #room: Room;
  readonly #watched = new Map<string, Watched>();
  readonly #sizes = new ResizeObserver(() => this.#later());
  readonly #intersections = new IntersectionObserver((entries) => this.#cross(entries));
  readonly #now = (): void => this.#tell();
  #dominant: string | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(room: Room) {
    this.#room = room;
    document.addEventListener('visibilitychange', this.#now);
  }

  /** A tile shows a track from now on. */
  watch(trackId: string, element: HTMLElement, source: TileSource, participantId: string): void {
    this.unwatch(trackId);
    this.#watched.set(trackId, { element, source, participantId, intersects: true });
    this.#sizes.observe(element);
    this.#intersections.observe(element);
  }

  /** A tile shows a track no more. */
  unwatch(trackId: string): void {
    const watched = this.#watched.get(trackId);
    if (!watched) return;
    this.#watched.delete(trackId);
    this.#sizes.unobserve(watched.element);
    this.#intersections.unobserve(watched.element);
  }

  /** The edge hears this participant above the others; it counts until another is. */
  dominate(participantId: string | undefined): void {
    if (participantId === undefined || participantId === this.#dominant) return;
    this.#dominant = participantId;
    this.#later();
  }

  dispose(): void {
    clearTimeout(this.#timer);
    document.removeEventListener('visibilitychange', this.#now);
    this.#sizes.disconnect();
    this.#intersections.disconnect();
    this.#watched.clear();
  }

  #cross(entries: readonly IntersectionObserverEntry[]): void {
    const now = new Map(entries.map((entry) => [entry.target, entry.isIntersecting]));
    let appeared = false;
    for (const watched of this.#watched.values()) {
      const intersects = now.get(watched.element);
      if (intersects === undefined) continue;
      appeared ||= intersects && !watched.intersects;
      watched.intersects = intersects;
    }
    // Who scrolls to a picture waits for it; who scrolls past it may come back.
    if (appeared) this.#tell();
    else this.#later();
  }

  #later(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tell(), SETTLED_MS);
  }

  #tell(): void {
    clearTimeout(this.#timer);
    const pageSeen = document.visibilityState === 'visible';
    for (const [trackId, { element, source, participantId, intersects }] of this.#watched) {
      const wish = wishFor({
        source,
        height: element.clientHeight,
        pixelRatio: window.devicePixelRatio,
        onScreen: pageSeen && intersects,
        dominant: source === 'camera' && participantId === this.#dominant,
      });
      this.#room.subscribe(trackId, wish);
    }
  }
}
