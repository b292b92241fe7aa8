import type { TrackStats } from './stats.ts';

/** What all tracks of one direction come to. */
export interface DirectionSums {
  /** Tracks that carry something, by kind; a track in three encodings counts once. */
  audioTracks: number;
  videoTracks: number;
  /** Bits per second of RTP payload, by kind. */
  audioBps: number;
  videoBps: number;
  /** Pictures a second, over all videos. */
  framesPerSecond: number;
}

/** What all tracks come to. */
export interface StatsSums {
  in: DirectionSums & {
    /** Videos that the edge holds back, since the network cannot carry them. */
    pausedTracks: number;
  };
  out: DirectionSums;
}

/** Adds tracks up. */
export function sumTracks(tracks: readonly TrackStats[]): StatsSums {
  const incoming = tracks.filter((track) => track.direction === 'in');
  return {
    in: {
      ...sumDirection(incoming),
      pausedTracks: incoming.filter((track) => track.paused).length,
    },
    out: sumDirection(tracks.filter((track) => track.direction === 'out')),
  };
}

function sumDirection(tracks: readonly TrackStats[]): DirectionSums {
  const flowing = { audio: new Set<unknown>(), video: new Set<unknown>() };
  const bps = { audio: 0, video: 0 };
  let framesPerSecond = 0;
  for (const track of tracks) {
    bps[track.kind] += track.bitrateBps;
    if (track.bitrateBps > 0) flowing[track.kind].add(track.trackId ?? track);
    if (track.kind === 'video') framesPerSecond += track.framesPerSecond ?? 0;
  }
  return {
    audioTracks: flowing.audio.size,
    videoTracks: flowing.video.size,
    audioBps: bps.audio,
    videoBps: bps.video,
    framesPerSecond,
  };
}
