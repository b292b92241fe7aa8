import { expect, test } from 'vitest';
import { bestFit } from '../src/call/grid.ts';

const GAP = 10;

test.each([
  [1280, 640, 1, 1],
  [1280, 640, 2, 2],
  [1280, 640, 4, 2],
  [1280, 640, 5, 3],
  [390, 740, 2, 1],
  [390, 740, 3, 1],
])('%i × %i with %i tiles has %i columns', (width, height, count, columns) => {
  expect(bestFit(width, height, count, GAP).columns).toBe(columns);
});

test('everything fits, for any count that is not too small to see', () => {
  for (let count = 1; count <= 30; count += 1) {
    const fit = bestFit(1280, 640, count, GAP);
    const rows = Math.ceil(count / fit.columns);
    expect(fit.columns * fit.width + (fit.columns - 1) * GAP).toBeLessThanOrEqual(1280);
    expect(rows * fit.height + (rows - 1) * GAP).toBeLessThanOrEqual(640);
    expect(fit.width / fit.height).toBeLessThanOrEqual(16 / 9 + 0.02);
  }
});

test('too many for the area scroll at a size that can be seen', () => {
  const fit = bestFit(390, 700, 60, GAP);
  expect(fit.width).toBeGreaterThanOrEqual(104);
  expect(fit.columns).toBe(3);
});

test('an area without room has tiles without size', () => {
  expect(bestFit(0, 0, 3, GAP)).toMatchObject({ width: 0, height: 0 });
});
