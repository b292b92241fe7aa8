import { expect, test } from 'vitest';
import { Backoff } from '../src/backoff.ts';

const OPTIONS = { initialMs: 400, maxMs: 5_000, limitMs: 30_000 };

test('waits double up to the longest one', () => {
  const backoff = new Backoff(
    OPTIONS,
    () => 0,
    () => 1,
  );
  const waits = Array.from({ length: 6 }, () => backoff.next());
  expect(waits).toEqual([400, 800, 1_600, 3_200, 5_000, 5_000]);
});

test('jitter takes at most half of a wait away', () => {
  const backoff = new Backoff(
    OPTIONS,
    () => 0,
    () => 0,
  );
  expect(backoff.next()).toBe(200);
});

test('no wait reaches over the limit, and none follows it', () => {
  let now = 0;
  const backoff = new Backoff(
    OPTIONS,
    () => now,
    () => 1,
  );
  backoff.next();
  now = 29_900;
  expect(backoff.next()).toBe(100);
  now = 30_000;
  expect(backoff.next()).toBeUndefined();
});
