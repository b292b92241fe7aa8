import { expect, test } from 'vitest';
import { wishFor } from '../src/call/wishes.ts';

const tile = {
  source: 'camera',
  height: 180,
  pixelRatio: 2,
  onScreen: true,
  dominant: false,
} as const;

test('a picture is wanted at the height of its tile, in physical pixels', () => {
  expect(wishFor(tile)).toEqual({ visible: true, height: 360, priority: 'normal' });
  expect(wishFor({ ...tile, pixelRatio: 1.25, height: 101 }).height).toBe(126);
});

test('a picture that nobody sees is not wanted', () => {
  expect(wishFor({ ...tile, onScreen: false })).toEqual({ visible: false, priority: 'normal' });
  expect(wishFor({ ...tile, height: 0 }).visible).toBe(false);
});

test('a screen and the dominant speaker come first', () => {
  expect(wishFor({ ...tile, source: 'screen' }).priority).toBe('high');
  expect(wishFor({ ...tile, dominant: true }).priority).toBe('high');
});
