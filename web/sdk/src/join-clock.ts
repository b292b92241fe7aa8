import type { Platform } from './platform.ts';
import type { JoinTimes } from './protocol.ts';

/** When each step of a join was done; a step counts when it is done first. */
export class JoinClock {
  readonly #platform: Platform;
  readonly #began: number;
  readonly #times: JoinTimes = {};

  /** The join begins now. */
  constructor(platform: Platform) {
    this.#platform = platform;
    this.#began = platform.now();
  }

  /** A step is done. */
  mark(step: keyof JoinTimes): void {
    this.#times[step] ??= Math.round(this.#platform.now() - this.#began);
  }

  /** The steps that are done. */
  get times(): Readonly<JoinTimes> {
    return this.#times;
  }

  /** The first media of somebody else comes with the first of these tracks that is heard or seen. */
  watch(track: MediaStreamTrack): void {
    // A browser unmutes a track of the network with its first packet.
    if (track.muted) {
      track.addEventListener('unmute', () => this.mark('first_media_ms'), { once: true });
    } else {
      this.mark('first_media_ms');
    }
  }
}
