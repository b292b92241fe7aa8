/** How long to wait between attempts, and when to stop. */
export interface BackoffOptions {
  /** The first wait's upper bound, in milliseconds. */
  initialMs: number;
  /** The longest wait's upper bound, in milliseconds. */
  maxMs: number;
  /** No attempt starts later than this after the first, in milliseconds. */
  limitMs: number;
}

/**
 * Exponential backoff with jitter: each wait is random between half its bound and the bound, so
 * that the clients of a restarted edge do not come back all at once.
 */
export class Backoff {
  #attempts = 0;
  #startedAt: number | undefined;
  readonly #options: BackoffOptions;
  readonly #now: () => number;
  readonly #random: () => number;

  constructor(options: BackoffOptions, now: () => number, random: () => number) {
    this.#options = options;
    this.#now = now;
    this.#random = random;
  }

  /** How many waits were handed out. */
  get attempts(): number {
    return this.#attempts;
  }

  /** The next wait in milliseconds; `undefined` when the time is up. */
  next(): number | undefined {
    const now = this.#now();
    this.#startedAt ??= now;
    const left = this.#startedAt + this.#options.limitMs - now;
    if (left <= 0) return undefined;
    const bound = Math.min(this.#options.maxMs, this.#options.initialMs * 2 ** this.#attempts);
    this.#attempts += 1;
    return Math.min(left, bound * (0.5 + this.#random() / 2));
  }
}
