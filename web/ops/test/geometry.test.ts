import { describe, expect, it } from 'vitest';
import { course, HEIGHT, land, path, project, WIDTH } from '../src/geometry.ts';

const PARIS = { latitude: 48.9, longitude: 2.4 };
const TOKYO = { latitude: 35.7, longitude: 139.7 };
const VIRGINIA = { latitude: 39, longitude: -77.5 };

describe('the map', () => {
  it('puts places where they belong', () => {
    expect(project({ latitude: 0, longitude: 0 }).x).toBe(WIDTH / 2);
    const { x, y } = project(PARIS);
    expect(x).toBeGreaterThan(WIDTH / 2);
    expect(y).toBeLessThan(HEIGHT / 2);
  });

  it('draws links along great circles', () => {
    const [piece, ...others] = course(PARIS, TOKYO);
    expect(others).toEqual([]);
    expect(piece?.at(0)).toEqual(PARIS);
    expect(piece?.at(-1)).toEqual(TOKYO);
    // Over Siberia, far north of both.
    expect(Math.max(...(piece ?? []).map(({ latitude }) => latitude))).toBeGreaterThan(60);
  });

  it('cuts them where they cross the date line', () => {
    const pieces = course(TOKYO, VIRGINIA);
    expect(pieces).toHaveLength(2);
    expect(pieces[0]?.at(-1)?.longitude).toBe(180);
    expect(pieces[1]?.at(0)?.longitude).toBe(-180);
    expect(pieces[0]?.at(-1)?.latitude).toBe(pieces[1]?.at(0)?.latitude);
    expect(path(pieces).match(/M/g)).toHaveLength(2);
  });

  it('keeps lines that share a way apart', () => {
    const there = path([[{ latitude: 0, longitude: 0 }, { latitude: 0, longitude: 10 }]], 3);
    const [, y] = /^M[\d.]+,([\d.]+)/.exec(there) ?? [];
    expect(Number(y)).toBeCloseTo(project({ latitude: 0, longitude: 0 }).y + 3, 1);
  });

  it('reads coastlines', () => {
    expect(land('# a comment\n-180,80 180,80 180,-58\n')).toBe(
      `M0.0,0.0L1000.0,0.0L1000.0,${HEIGHT.toFixed(1)}Z`,
    );
  });
});
