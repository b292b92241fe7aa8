import type { JoinClock } from './join-clock.ts';
import type { Platform } from './platform.ts';
import type { CandidateKind, NetworkPath, QualityReport, TrackQuality } from './protocol.ts';
import type { CandidateStats, RoomStats, TrackStats } from './stats.ts';

/** How soon after it is connected a client reports first. */
const FIRST_MS = 3_000;

/** How often a client reports. */
const EVERY_MS = 10_000;

/** The most tracks of a report: those that carry most. */
const TRACKS_MAX = 64;

/** The longest name of a layer. */
const LAYER_MAX = 24;

const CANDIDATE_KINDS: ReadonlySet<string> = new Set(['host', 'srflx', 'prflx', 'relay']);

/** Where figures come from and go to. */
export interface QualityPort {
  /** Figures since the call before; `undefined` when there is no connection. */
  read(): Promise<RoomStats | undefined>;
  /** The clock of the join in force. */
  clock(): JoinClock | undefined;
  send(report: QualityReport): void;
}

/** Tells the edge how the call goes, while it is connected. */
export class QualityReports {
  readonly #platform: Platform;
  readonly #port: QualityPort;
  #cancel: (() => void) | undefined;
  #measuredAt = 0;
  /** Totals of each track when it was reported last: times frozen, and for how long. */
  #frozen = new Map<string, { freezes: number; ms: number }>();
  #told: string | undefined;

  constructor(platform: Platform, port: QualityPort) {
    this.#platform = platform;
    this.#port = port;
  }

  /** The client is connected. */
  start(): void {
    if (this.#cancel) return;
    this.#measuredAt = this.#platform.now();
    this.#schedule(FIRST_MS);
    // Rates are those since a reading before.
    this.#port.read().catch(() => {});
  }

  /** It is not. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** The peer connection is another. */
  reset(): void {
    this.#frozen = new Map();
    this.#told = undefined;
  }

  #schedule(ms: number): void {
    this.#cancel = this.#platform.after(ms, () => {
      this.#schedule(EVERY_MS);
      // A browser that cannot say now may be able to the next time.
      this.#report().catch(() => {});
    });
  }

  async #report(): Promise<void> {
    const stats = await this.#port.read();
    if (!stats || !this.#cancel) return;
    const now = this.#platform.now();
    const interval = Math.round(now - this.#measuredAt);
    this.#measuredAt = now;
    const { transport } = stats;
    const flowing = stats.tracks.filter((track) => track.bitrateBps > 0 || track.paused);
    flowing.sort((a, b) => b.bitrateBps - a.bitrateBps);
    const clock = this.#port.clock();
    if (flowing.some((track) => track.direction === 'in')) clock?.mark('first_media_ms');
    const network = path(transport.local);
    const join = clock?.times;
    const told = JSON.stringify(join);
    this.#port.send({
      interval_ms: interval,
      ...rounded('round_trip_ms', transport.roundTripMs),
      ...rounded('available_bps', transport.availableOutBps),
      ...(network && { network }),
      ...(join && told !== this.#told && { join }),
      tracks: flowing.slice(0, TRACKS_MAX).map((track) => this.#track(track)),
    });
    this.#told = told;
  }

  #track(track: TrackStats): TrackQuality {
    const key = `${track.direction}/${track.trackId}/${track.layer}`;
    const before = this.#frozen.get(key) ?? { freezes: 0, ms: 0 };
    const frozen = { freezes: track.freezes ?? 0, ms: track.freezeMs ?? 0 };
    this.#frozen.set(key, frozen);
    return {
      direction: track.direction,
      kind: track.kind,
      ...(track.trackId !== undefined && { track_id: track.trackId }),
      ...(track.participantId !== undefined && { participant_id: track.participantId }),
      ...(track.source !== undefined && { source: track.source }),
      ...(track.layer !== undefined && { layer: track.layer.slice(0, LAYER_MAX) }),
      ...(track.paused && { paused: true }),
      bitrate_bps: Math.round(track.bitrateBps),
      loss_ppm: Math.round(track.lossRatio * 1e6),
      ...rounded('jitter_ms', track.jitterMs),
      ...rounded('playout_ms', track.playoutMs),
      ...rounded('frame_rate', track.framesPerSecond),
      ...rounded('height', track.height),
      ...(track.freezes !== undefined && {
        freezes: Math.max(0, frozen.freezes - before.freezes),
        freeze_ms: Math.round(Math.max(0, frozen.ms - before.ms)),
      }),
    };
  }
}

/** Counts on the wire are whole. */
function rounded<Name extends string>(
  name: Name,
  value: number | undefined,
): Partial<Record<Name, number>> {
  return value === undefined || !Number.isFinite(value)
    ? {}
    : ({ [name]: Math.max(0, Math.round(value)) } as Record<Name, number>);
}

function path(local: CandidateStats | undefined): NetworkPath | undefined {
  if (!local || !CANDIDATE_KINDS.has(local.type)) return undefined;
  // A relayed candidate speaks UDP to the edge; what counts is how the client gets to the relay.
  const protocol = local.relayProtocol ?? local.protocol;
  return { kind: local.type as CandidateKind, protocol: protocol === 'udp' ? 'udp' : 'tcp' };
}
