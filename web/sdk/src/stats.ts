import type { Participant, RemoteTrack } from './participant.ts';
import { sumTracks, type StatsSums } from './stats-sums.ts';
import type { MediaKind, PublishedTrack, TrackSource } from './protocol.ts';

/** Figures of one track, over the time since the reading before. What a browser lacks is absent. */
export interface TrackStats {
  direction: 'in' | 'out';
  /** The publisher; absent for the client's own tracks. */
  participantId?: string;
  trackId?: string;
  kind: MediaKind;
  source?: TrackSource;
  /** For example `VP8`. */
  codec?: string;
  /** Bits per second of RTP payload. */
  bitrateBps: number;
  /** Packets lost of those sent, 0 to 1; for own tracks as the edge reports it. */
  lossRatio: number;
  /** Milliseconds. */
  jitterMs?: number;
  framesPerSecond?: number;
  width?: number;
  height?: number;
  /** How often the picture froze, since the track began. */
  freezes?: number;
  /** For how long altogether, in milliseconds. */
  freezeMs?: number;
  /** How long it waits in the jitter buffer, in milliseconds. */
  playoutMs?: number;
  /** 0 to 1. */
  audioLevel?: number;
  /**
   * Which encoding of an own picture this is: the simulcast layer's name, the scalability mode
   * (https://www.w3.org/TR/webrtc-svc/), or both.
   */
  layer?: string;
  /** Whether the edge holds a picture back, since the network cannot carry it. */
  paused?: boolean;
  /** What keeps the encoder from sending more: `none`, `cpu`, `bandwidth` or `other`. */
  limitation?: string;
  /** The regions that the track crosses, the publisher's first. */
  path?: readonly string[];
}

/** One end of the ICE candidate pair in use. */
export interface CandidateStats {
  /** `host`, `srflx`, `prflx` or `relay`. */
  type: string;
  /** `udp` or `tcp`. */
  protocol: string;
  /** Between the client and a TURN server: `udp`, `tcp` or `tls`. */
  relayProtocol?: string;
  address?: string;
  port?: number;
}

/** Figures of the transport between the client and its edge. */
export interface TransportStats {
  /** Milliseconds, to the edge and back. */
  roundTripMs?: number;
  bitrateInBps: number;
  bitrateOutBps: number;
  /** Packets lost of those sent by the edge, 0 to 1, over all tracks. */
  lossInRatio: number;
  /** What the browser's congestion control would send, in bits per second. */
  availableOutBps?: number;
  local?: CandidateStats;
  remote?: CandidateStats;
}

/** Figures of a room. */
export interface RoomStats {
  transport: TransportStats;
  tracks: TrackStats[];
  sums: StatsSums;
}

/** How well a participant's media arrives. */
export type Quality = 'good' | 'fair' | 'poor' | 'none';

interface Entry {
  id: string;
  type: string;
  timestamp: number;
  kind?: MediaKind;
  mid?: string;
  trackIdentifier?: string;
  codecId?: string;
  mimeType?: string;
  remoteId?: string;
  bytesReceived?: number;
  bytesSent?: number;
  packetsReceived?: number;
  packetsSent?: number;
  packetsLost?: number;
  jitter?: number;
  framesPerSecond?: number;
  frameWidth?: number;
  frameHeight?: number;
  freezeCount?: number;
  totalFreezesDuration?: number;
  jitterBufferDelay?: number;
  jitterBufferEmittedCount?: number;
  relayProtocol?: string;
  audioLevel?: number;
  qualityLimitationReason?: string;
  rid?: string;
  scalabilityMode?: string;
  fractionLost?: number;
  currentRoundTripTime?: number;
  availableOutgoingBitrate?: number;
  selectedCandidatePairId?: string;
  selected?: boolean;
  nominated?: boolean;
  state?: string;
  localCandidateId?: string;
  remoteCandidateId?: string;
  candidateType?: string;
  protocol?: string;
  address?: string;
  port?: number;
}

interface Sample {
  at: number;
  bytes: number;
  packets: number;
  lost: number;
  /** Seconds that everything played waited, and how much was played. */
  waited: number;
  played: number;
}

interface Delta {
  bitrateBps: number;
  packets: number;
  lost: number;
  playoutMs?: number;
}

/** Turns the browser's counters into rates. */
export class StatsReader {
  #samples = new Map<string, Sample>();

  /** Forgets the reading before, since the peer connection is another now. */
  reset(): void {
    this.#samples = new Map();
  }

  /** The figures when there is no connection. */
  empty(): RoomStats {
    const transport = { bitrateInBps: 0, bitrateOutBps: 0, lossInRatio: 0 };
    return { transport, tracks: [], sums: sumTracks([]) };
  }

  /** Reads the browser's report. */
  read(
    report: RTCStatsReport,
    published: readonly PublishedTrack[],
    participants: ReadonlyMap<string, Participant>,
  ): RoomStats {
    const entries = new Map<string, Entry>();
    report.forEach((entry: Entry) => entries.set(entry.id, entry));
    const samples = new Map<string, Sample>();
    const received = receivedTracks(participants);
    const tracks: TrackStats[] = [];
    let lost = 0;
    let packets = 0;
    for (const entry of entries.values()) {
      const incoming = entry.type === 'inbound-rtp';
      if (!incoming && entry.type !== 'outbound-rtp') continue;
      const delta = this.#delta(samples, entry);
      if (incoming) {
        const whose = received.get(entry.mid ?? '') ?? received.get(entry.trackIdentifier ?? '');
        if (!whose) continue;
        lost += delta.lost;
        packets += delta.packets;
        tracks.push({ ...common(entries, entry, delta, 'in'), ...whose });
      } else {
        const own = published.find((track) => track.mid === entry.mid);
        const track = common(entries, entry, delta, 'out');
        tracks.push({ ...track, ...(own && { trackId: own.track_id, source: own.source }) });
      }
    }
    const transport = this.#transport(entries, samples);
    transport.lossInRatio = ratio(lost, packets + lost);
    this.#samples = samples;
    return { transport, tracks, sums: sumTracks(tracks) };
  }

  #transport(entries: Map<string, Entry>, samples: Map<string, Sample>): TransportStats {
    const pair = selectedPair(entries);
    if (!pair) return { bitrateInBps: 0, bitrateOutBps: 0, lossInRatio: 0 };
    const incoming = { ...pair, id: `${pair.id}/in`, bytesSent: 0 };
    const outgoing = { ...pair, id: `${pair.id}/out`, bytesReceived: 0 };
    const local = candidate(entries.get(pair.localCandidateId ?? ''));
    const remote = candidate(entries.get(pair.remoteCandidateId ?? ''));
    return {
      ...(pair.currentRoundTripTime !== undefined && {
        roundTripMs: pair.currentRoundTripTime * 1_000,
      }),
      bitrateInBps: this.#delta(samples, incoming).bitrateBps,
      bitrateOutBps: this.#delta(samples, outgoing).bitrateBps,
      lossInRatio: 0,
      ...(pair.availableOutgoingBitrate !== undefined && {
        availableOutBps: pair.availableOutgoingBitrate,
      }),
      ...(local && { local }),
      ...(remote && { remote }),
    };
  }

  #delta(samples: Map<string, Sample>, entry: Entry): Delta {
    const sample: Sample = {
      at: entry.timestamp,
      bytes: (entry.bytesReceived ?? 0) + (entry.bytesSent ?? 0),
      packets: entry.packetsReceived ?? entry.packetsSent ?? 0,
      lost: entry.packetsLost ?? 0,
      waited: entry.jitterBufferDelay ?? 0,
      played: entry.jitterBufferEmittedCount ?? 0,
    };
    samples.set(entry.id, sample);
    const before = this.#samples.get(entry.id);
    if (!before || sample.at <= before.at) return { bitrateBps: 0, packets: 0, lost: 0 };
    const played = sample.played - before.played;
    return {
      ...(played > 0 && { playoutMs: ((sample.waited - before.waited) * 1_000) / played }),
      bitrateBps: Math.max(0, ((sample.bytes - before.bytes) * 8_000) / (sample.at - before.at)),
      packets: Math.max(0, sample.packets - before.packets),
      // Late packets make the counter fall.
      lost: Math.max(0, sample.lost - before.lost),
    };
  }
}

function common(
  entries: Map<string, Entry>,
  entry: Entry,
  delta: Delta,
  direction: 'in' | 'out',
): TrackStats {
  const codec = entries.get(entry.codecId ?? '')?.mimeType?.split('/')[1];
  // What the edge says about the client's own track.
  const remote = direction === 'out' ? entries.get(entry.remoteId ?? '') : undefined;
  const layer = [entry.rid, entry.scalabilityMode].filter(Boolean).join(' ');
  const jitter = direction === 'out' ? remote?.jitter : entry.jitter;
  return {
    direction,
    kind: entry.kind ?? 'video',
    bitrateBps: delta.bitrateBps,
    lossRatio:
      direction === 'in'
        ? ratio(delta.lost, delta.packets + delta.lost)
        : (remote?.fractionLost ?? 0),
    ...(codec !== undefined && { codec }),
    ...(jitter !== undefined && { jitterMs: jitter * 1_000 }),
    ...(entry.framesPerSecond !== undefined && { framesPerSecond: entry.framesPerSecond }),
    ...(entry.frameWidth !== undefined && { width: entry.frameWidth }),
    ...(entry.frameHeight !== undefined && { height: entry.frameHeight }),
    ...(entry.freezeCount !== undefined && { freezes: entry.freezeCount }),
    ...(entry.totalFreezesDuration !== undefined && {
      freezeMs: entry.totalFreezesDuration * 1_000,
    }),
    ...(delta.playoutMs !== undefined && { playoutMs: delta.playoutMs }),
    ...(entry.audioLevel !== undefined && { audioLevel: entry.audioLevel }),
    ...(layer && { layer }),
    ...(entry.qualityLimitationReason !== undefined && {
      limitation: entry.qualityLimitationReason,
    }),
  };
}

type Whose = Pick<TrackStats, 'participantId' | 'trackId' | 'source' | 'path' | 'paused'>;

/** Whose track an m-line or a media stream track is; browsers name one or the other or both. */
function receivedTracks(participants: ReadonlyMap<string, Participant>): Map<string, Whose> {
  const found = new Map<string, Whose>();
  for (const participant of participants.values()) {
    for (const track of participant.tracks.values()) {
      const whose = {
        participantId: participant.id,
        trackId: track.id,
        source: track.source,
        path: participant.path,
        ...(track.paused && { paused: true }),
      };
      for (const key of keys(track)) found.set(key, whose);
    }
  }
  return found;
}

function keys(track: RemoteTrack): string[] {
  return [track.mid, track.mediaStreamTrack?.id].filter((key) => key !== undefined);
}

function selectedPair(entries: Map<string, Entry>): Entry | undefined {
  let nominated: Entry | undefined;
  for (const entry of entries.values()) {
    if (entry.type === 'transport' && entry.selectedCandidatePairId !== undefined) {
      return entries.get(entry.selectedCandidatePairId);
    }
    // Firefox has no transport's choice, but marks the pair itself.
    const usable = entry.type === 'candidate-pair' && entry.state === 'succeeded';
    if (usable && (entry.selected ?? entry.nominated)) nominated = entry;
  }
  return nominated;
}

function candidate(entry: Entry | undefined): CandidateStats | undefined {
  if (!entry) return undefined;
  return {
    type: entry.candidateType ?? 'host',
    protocol: entry.protocol ?? 'udp',
    ...(entry.relayProtocol !== undefined && { relayProtocol: entry.relayProtocol }),
    ...(entry.address !== undefined && { address: entry.address }),
    ...(entry.port !== undefined && { port: entry.port }),
  };
}

function ratio(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0;
}

/**
 * How well a participant's tracks arrive: the worst of them counts. Loss and jitter are judged by
 * what Opus and the browser's recovery still hide, pictures by whether they move.
 */
export function quality(tracks: readonly TrackStats[]): Quality {
  const incoming = tracks.filter((track) => track.direction === 'in');
  if (incoming.length === 0) return 'none';
  const loss = Math.max(...incoming.map((track) => track.lossRatio));
  const jitter = Math.max(...incoming.map((track) => track.jitterMs ?? 0));
  const frozen = incoming.some(
    (track) => track.kind === 'video' && track.bitrateBps > 0 && (track.framesPerSecond ?? 0) < 5,
  );
  if (loss > 0.1 || jitter > 150 || frozen) return 'poor';
  if (loss > 0.03 || jitter > 60) return 'fair';
  return 'good';
}
