// The earth on a flat drawing: equirectangular, with links along great circles.

export interface Place {
  latitude: number;
  longitude: number;
}

export interface Point {
  x: number;
  y: number;
}

/** The size of the drawing. The empty south and the far north are left out. */
export const WIDTH = 1_000;
const NORTH = 80;
const SOUTH = -58;
export const HEIGHT = (WIDTH * (NORTH - SOUTH)) / 360;

/** Degrees between the points of a course. */
const STEP = 3;

export function project({ latitude, longitude }: Place): Point {
  return {
    x: ((longitude + 180) / 360) * WIDTH,
    y: ((NORTH - latitude) / (NORTH - SOUTH)) * HEIGHT,
  };
}

const radians = (degrees: number): number => (degrees * Math.PI) / 180;
const degrees = (angle: number): number => (angle * 180) / Math.PI;

function unit({ latitude, longitude }: Place): [number, number, number] {
  const [lat, lon] = [radians(latitude), radians(longitude)];
  return [Math.cos(lat) * Math.cos(lon), Math.cos(lat) * Math.sin(lon), Math.sin(lat)];
}

/** The great circle from one place to another, in two pieces when it crosses the date line. */
export function course(from: Place, to: Place): Place[][] {
  const [a, b] = [unit(from), unit(to)];
  const dot = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const angle = Math.acos(Math.min(1, Math.max(-1, dot)));
  // Between antipodes there is no one great circle, within a place there is none at all.
  if (Math.sin(angle) < 1e-6) return [[from, to]];
  const steps = Math.max(1, Math.ceil(degrees(angle) / STEP));
  const pieces: Place[][] = [[from]];
  let last = from;
  for (let step = 1; step <= steps; step += 1) {
    const share = step / steps;
    const [left, right] = [Math.sin((1 - share) * angle), Math.sin(share * angle)];
    const mix = (axis: 0 | 1 | 2) => (left * a[axis] + right * b[axis]) / Math.sin(angle);
    const place =
      step === steps
        ? to
        : {
            latitude: degrees(Math.asin(Math.min(1, Math.max(-1, mix(2))))),
            longitude: degrees(Math.atan2(mix(1), mix(0))),
          };
    if (Math.abs(place.longitude - last.longitude) > 180) {
      const edge = Math.sign(last.longitude) * 180;
      const ahead = place.longitude + 2 * edge;
      const share = (edge - last.longitude) / (ahead - last.longitude);
      const latitude = last.latitude + (place.latitude - last.latitude) * share;
      pieces.at(-1)?.push({ latitude, longitude: edge });
      pieces.push([{ latitude, longitude: -edge }]);
    }
    pieces.at(-1)?.push(place);
    last = place;
  }
  return pieces;
}

/** A course as the path of a drawing, moved aside by so many units to the right of its direction. */
export function path(pieces: Place[][], aside = 0): string {
  return pieces
    .map((piece) => {
      const points = piece.map(project);
      return points
        .map((point, at) => {
          const [before, after] = [points[at - 1] ?? point, points[at + 1] ?? point];
          const [dx, dy] = [after.x - before.x, after.y - before.y];
          const length = Math.hypot(dx, dy) || 1;
          const [x, y] = [point.x - (dy / length) * aside, point.y + (dx / length) * aside];
          return `${at === 0 ? 'M' : 'L'}${x.toFixed(1)},${y.toFixed(1)}`;
        })
        .join('');
    })
    .join('');
}

/** Where to write beside a course. */
export function middle(pieces: Place[][]): Point {
  const longest = [...pieces].sort((a, b) => b.length - a.length)[0] ?? [];
  const place = longest[Math.floor(longest.length / 2)];
  return place ? project(place) : { x: 0, y: 0 };
}

/** Coastlines as polygons, one a line of `longitude,latitude`. */
export function land(text: string): string {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const points = line.split(' ').map((pair) => {
        const [longitude = 0, latitude = 0] = pair.split(',').map(Number);
        const { x, y } = project({ latitude, longitude });
        return `${x.toFixed(1)},${y.toFixed(1)}`;
      });
      return `M${points.join('L')}Z`;
    })
    .join('');
}
