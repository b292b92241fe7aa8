import type { LeaveReason, StatsSums, TrackStats } from '../../sdk/src/index.ts';

let regionNames: Record<string, string> = {};

/** Sets what people call the regions. */
export function setRegionNames(names: Record<string, string>): void {
  regionNames = names;
}

/** A region's name for people; one that nobody named is spelled out: `new-york`, `New York`. */
export function regionName(region: string): string {
  const given = regionNames[region];
  if (given !== undefined) return given;
  return region
    .split('-')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join(' ');
}

/** `Paris → Mumbai → Singapore`. */
export function pathNames(path: readonly string[]): string {
  return path.map(regionName).join(' → ');
}

/** Up to two letters for a picture that is not there. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0]];
  return letters.map((word) => [...(word ?? '?')][0]?.toUpperCase() ?? '?').join('');
}

/** A hue from 0 to 359 that is always the same for one participant. */
export function hue(id: string): number {
  let hash = 0;
  for (const character of id) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0;
  return hash % 360;
}

/** `1.25 Mb/s` or `48 kb/s`. */
export function bitrate(bps: number): string {
  if (bps >= 1_000_000) return `${(bps / 1_000_000).toFixed(2)} Mb/s`;
  return `${Math.round(bps / 1_000)} kb/s`;
}

/** `0.4 %`. */
export function percent(ratio: number): string {
  return `${(ratio * 100).toFixed(1)} %`;
}

/** `12 ms`, or a dash when it is not known. */
export function milliseconds(ms: number | undefined): string {
  if (ms === undefined) return '–';
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** What the edge sends of a picture now: `360p, 15 fps`. */
export function layerName({
  height,
  framesPerSecond,
  paused,
}: Pick<TrackStats, 'height' | 'framesPerSecond' | 'paused'>): string {
  if (paused) return 'paused, network too slow';
  if (!height) return '–';
  const frames = framesPerSecond === undefined ? '' : `, ${Math.round(framesPerSecond)} fps`;
  return `${height}p${frames}`;
}

/** What comes in, over all tracks: `3 videos, 2 sounds, 1 paused`. */
export function receiving({ in: sums }: StatsSums): string {
  const parts = [count(sums.videoTracks, 'video'), count(sums.audioTracks, 'sound')];
  if (sums.pausedTracks > 0) parts.push(`${sums.pausedTracks} paused`);
  return parts.join(', ');
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

const LEFT: Record<LeaveReason, string> = {
  left: 'left',
  timed_out: 'lost the connection',
  removed: 'was removed',
  replaced: 'joined from elsewhere',
  meeting_ended: 'left, since the meeting was ended',
  edge_lost: 'was cut off',
};

/** How somebody's leaving is told. */
export function leftWords(reason: LeaveReason): string {
  return LEFT[reason];
}
