import type { Platform } from './platform.ts';

const ANSWER_MS = 3_000;

/** Whether anything answers at `url` in time, whatever it says and to whichever origin. */
export async function reachable(
  platform: Platform,
  url: string,
  withinMs = ANSWER_MS,
): Promise<boolean> {
  const abort = new AbortController();
  const cancel = platform.after(withinMs, () => abort.abort());
  try {
    await platform.fetch(url, { mode: 'no-cors', cache: 'no-store', signal: abort.signal });
    return true;
  } catch {
    return false;
  } finally {
    cancel();
  }
}
