import { execFile } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Who publishes is told by the colour of the picture's corners; that it moves, by what crosses it.
 *
 * @type {Record<string, [number, number, number]>}
 */
export const COLOURS = {
  red: [200, 40, 40],
  green: [40, 160, 60],
  blue: [40, 70, 200],
  yellow: [210, 190, 40],
  violet: [150, 50, 170],
};

/** @type {Promise<string> | undefined} */
let directory;
/** @type {Map<string, Promise<{ video: string, audio: string }>>} */
const made = new Map();

/** What a camera shows when nobody cares for its size: as little as will do. Pixels. */
const HEIGHT = 270;

/**
 * A camera and a microphone of an identity's own, as files that Chromium plays in a loop.
 *
 * @param {string} colour one of `COLOURS`
 * @param {number} [height] of the picture, in pixels; Chromium sends three encodings from 540 on
 */
export function fakeDevices(colour, height = HEIGHT) {
  const name = `${colour}-${height}`;
  let files = made.get(name);
  if (!files) {
    files = make(colour, height);
    made.set(name, files);
  }
  return files;
}

/** @param {string} colour @param {number} height */
async function make(colour, height) {
  directory ??= mkdtemp(join(tmpdir(), 'sluice-camera-')).then((dir) => {
    process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
    return dir;
  });
  const rgb = COLOURS[colour];
  if (!rgb) throw new Error(`no colour ${colour}; there are ${Object.keys(COLOURS).join(', ')}`);
  const dir = await directory;
  const video = join(dir, `${colour}-${height}.mjpeg`);
  const audio = join(dir, `${colour}-${height}.wav`);
  const hex = rgb.map((value) => value.toString(16).padStart(2, '0')).join('');
  // A test picture crosses from corner to corner, and leaves the other two as they are.
  const scene =
    `color=c=0x${hex}:s=${(height * 16) / 9}x${height}:r=15:d=4[ground];` +
    `testsrc2=s=120x90:r=15:d=4[thing];` +
    `[ground][thing]overlay=x='(W-w)*t/4':y='(H-h)*t/4'`;
  // Syllables: noise suppression takes a steady tone for noise.
  const step = Object.keys(COLOURS).indexOf(colour);
  const voice =
    `aevalsrc='0.6*sin(2*PI*(${220 + 60 * step}+90*floor(mod(t*5,4)))*t)` +
    `*(0.55+0.45*sin(2*PI*5*t))':s=48000:d=4`;
  await Promise.all([
    run('ffmpeg', [
      '-y',
      '-v',
      'error',
      '-filter_complex',
      scene,
      '-q:v',
      '3',
      '-pix_fmt',
      'yuvj420p',
      video,
    ]),
    run('ffmpeg', ['-y', '-v', 'error', '-f', 'lavfi', '-i', voice, '-ac', '1', audio]),
  ]);
  return { video, audio };
}

/** The colour that a picture's corners have, of those that there are. @param {number[]} rgb */
export function nearestColour(rgb) {
  const distance = ([, other]) => Math.hypot(...other.map((value, i) => value - (rgb[i] ?? 0)));
  const [nearest] = Object.entries(COLOURS).sort((a, b) => distance(a) - distance(b));
  return distance(nearest) < 60 ? nearest[0] : `none (${rgb.map(Math.round).join(', ')})`;
}
