/** How often a condition is looked at, in milliseconds. */
const LOOK_EVERY_MS = 100;

/** @param {number} ms */
export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Asks until the answer is truthy, and returns it.
 *
 * @template T
 * @param {string} what what is waited for, for the error
 * @param {() => Promise<T> | T} ask
 * @param {number} [withinMs]
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, ask, withinMs = 20_000) {
  const end = performance.now() + withinMs;
  let last;
  for (;;) {
    last = await ask();
    if (last) return last;
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await pause(LOOK_EVERY_MS);
  }
}

/**
 * Fails when `promise` takes longer than `ms`.
 *
 * @template T
 * @param {string} what
 * @param {Promise<T>} promise
 * @param {number} ms
 * @returns {Promise<T>}
 */
export async function within(what, promise, ms) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
