import { Backoff } from './backoff.ts';
import { EdgeError, RequestRefused, asSluiceError, type SluiceError } from './errors.ts';
import { delay, type Platform } from './platform.ts';

/** How long a client tries to join anew before it gives up. */
const LIMIT_MS = 60_000;

/**
 * Makes `attempt`s to join until one works or the matter is `settled` otherwise, with growing pauses.
 *
 * @returns why it does not work, when it never will or `LIMIT_MS` are over.
 */
export async function persist(
  platform: Platform,
  attempt: (first: boolean) => Promise<void>,
  settled: () => boolean,
): Promise<SluiceError | undefined> {
  const backoff = new Backoff(
    { initialMs: 500, maxMs: 8_000, limitMs: LIMIT_MS },
    () => platform.now(),
    () => platform.random(),
  );
  for (let first = true; ; first = false) {
    let last: SluiceError;
    try {
      await attempt(first);
      return undefined;
    } catch (error) {
      last = asSluiceError(error);
    }
    const wait = isFinal(last) ? undefined : backoff.next();
    if (settled()) return undefined;
    if (wait === undefined) return last;
    await delay(platform, wait);
    if (settled()) return undefined;
  }
}

function isFinal(error: SluiceError): boolean {
  return (
    (error instanceof RequestRefused && error.final) ||
    (error instanceof EdgeError && error.code === 'forbidden')
  );
}
