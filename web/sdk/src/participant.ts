import type { TransceiverLike } from './platform.ts';
import type {
  MediaKind,
  ParticipantView,
  Presence,
  Role,
  TrackInfo,
  TrackSource,
} from './protocol.ts';

/** A track that somebody else publishes. */
export class RemoteTrack {
  readonly id: string;
  readonly kind: MediaKind;
  readonly source: TrackSource;
  #transceiver: TransceiverLike | undefined;
  #paused = false;

  constructor(info: TrackInfo) {
    this.id = info.track_id;
    this.kind = info.kind;
    this.source = info.source;
  }

  /** What to play; absent while the edge does not send the track. */
  get mediaStreamTrack(): MediaStreamTrack | undefined {
    return this.#transceiver?.receiver.track;
  }

  /** Whether the edge holds the picture back, since the client's network cannot carry it. */
  get paused(): boolean {
    return this.#paused;
  }

  /** The m-line that carries the track. */
  get mid(): string | undefined {
    return this.#transceiver?.mid ?? undefined;
  }

  /** The loudness right now, 0 to 1; 0 for pictures and for tracks that are not received. */
  get audioLevel(): number {
    if (this.kind !== 'audio' || !this.#transceiver) return 0;
    return this.#transceiver.receiver.getSynchronizationSources()[0]?.audioLevel ?? 0;
  }

  /** @internal */
  attach(transceiver: TransceiverLike | undefined): void {
    this.#transceiver = transceiver;
  }

  /** @internal */
  pause(paused: boolean): void {
    this.#paused = paused;
  }

  /** @internal */
  get transceiver(): TransceiverLike | undefined {
    return this.#transceiver;
  }
}

/** Somebody in the room. */
export class Participant {
  readonly id: string;
  readonly #tracks = new Map<string, RemoteTrack>();
  #view: ParticipantView;
  #level: number | undefined;

  constructor(view: ParticipantView) {
    this.id = view.participant_id;
    this.#view = view;
  }

  /** The name that others see. */
  get name(): string {
    return this.#view.name;
  }

  get role(): Role {
    return this.#view.role;
  }

  /** The region of its edge. */
  get region(): string {
    return this.#view.region;
  }

  /** Its edge. */
  get edge(): string {
    return this.#view.edge;
  }

  get joinedAt(): Date {
    return new Date(this.#view.joined_at_ms);
  }

  get presence(): Readonly<Presence> {
    return this.#view.presence;
  }

  /** The regions that its media crosses on the way here, its own first. */
  get path(): readonly string[] {
    return this.#view.path;
  }

  /** Whether it speaks, as the edge hears it. */
  get speaking(): boolean {
    return this.#level !== undefined;
  }

  /**
   * How loud it speaks, in decibels below the loudest possible: 0 to 127, lower is louder;
   * absent when it does not.
   */
  get level(): number | undefined {
    return this.#level;
  }

  /** What it publishes, by track id. Empty for the local participant. */
  get tracks(): ReadonlyMap<string, RemoteTrack> {
    return this.#tracks;
  }

  /** Its track of a source, if it publishes one. */
  track(source: TrackSource): RemoteTrack | undefined {
    for (const track of this.#tracks.values()) if (track.source === source) return track;
    return undefined;
  }

  /** @internal */
  update(change: Partial<ParticipantView>): void {
    this.#view = { ...this.#view, ...change };
  }

  /** @internal */
  speak(level: number | undefined): void {
    this.#level = level;
  }

  /** @internal */
  addTrack(info: TrackInfo): RemoteTrack | undefined {
    if (this.#tracks.has(info.track_id)) return undefined;
    const track = new RemoteTrack(info);
    this.#tracks.set(track.id, track);
    return track;
  }

  /** @internal */
  removeTrack(trackId: string): RemoteTrack | undefined {
    const track = this.#tracks.get(trackId);
    this.#tracks.delete(trackId);
    return track;
  }
}
