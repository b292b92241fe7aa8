import type { PeerLike, Platform, TransceiverLike } from './platform.ts';
import type { ReceivedTrack } from './protocol.ts';

/** How often an m-line that is waited for is looked at. */
const LOOK_MS = 50;

/** The part of the browser's statistics that says how much has come in. */
interface Inbound {
  type: string;
  kind?: string;
  mid?: string;
  trackIdentifier?: string;
  ssrc?: number;
  framesDecoded?: number;
  packetsReceived?: number;
}

/** What comes in over one peer connection. */
export class Feed {
  readonly #platform: Platform;
  readonly #peer: PeerLike;
  readonly #onFlow: () => void;
  #received: readonly ReceivedTrack[] = [];
  /** Tracks that are waited for, and what had come in when that began. */
  readonly #awaited = new Map<string, Map<number, number> | undefined>();
  readonly #flowing = new Set<string>();
  #looking = false;
  #closed = false;

  /** `onFlow` is called when tracks that were asked about begin to flow. */
  constructor(platform: Platform, peer: PeerLike, onFlow: () => void) {
    this.#platform = platform;
    this.#peer = peer;
    this.#onFlow = onFlow;
  }

  /** All tracks that come in. */
  get received(): readonly ReceivedTrack[] {
    return this.#received;
  }

  /** These come in from now on. */
  receive(tracks: readonly ReceivedTrack[]): void {
    const mids = new Map(tracks.map((track) => [track.track_id, track.mid]));
    for (const { track_id: id, mid } of this.#received) {
      if (mids.get(id) === mid) continue;
      this.#awaited.delete(id);
      this.#flowing.delete(id);
    }
    this.#received = tracks;
  }

  /** The m-lines of the tracks, by track. */
  lines(): Map<string, TransceiverLike> {
    const byMid = new Map(this.#peer.getTransceivers().map((one) => [one.mid, one]));
    return new Map(
      this.#received.flatMap(({ track_id: id, mid }) => {
        const line = byMid.get(mid);
        return line ? [[id, line] as const] : [];
      }),
    );
  }

  /** Whether a picture of the track has been decoded, or its sound has come; looks from now on. */
  flows(trackId: string): boolean {
    if (this.#flowing.has(trackId)) return true;
    if (!this.#awaited.has(trackId)) this.#awaited.set(trackId, undefined);
    if (!this.#looking && !this.#closed) {
      this.#looking = true;
      void this.#look();
    }
    return false;
  }

  /** Looks no more. */
  close(): void {
    this.#closed = true;
  }

  async #look(): Promise<void> {
    const before = this.#flowing.size;
    try {
      this.#compare(await this.#peer.getStats());
    } catch {
      // The peer connection is about to close.
    }
    this.#looking = false;
    if (this.#closed) return;
    if (this.#flowing.size > before) this.#onFlow();
    if (this.#looking || this.#awaited.size === 0) return;
    this.#looking = true;
    this.#platform.after(LOOK_MS, () => {
      if (!this.#closed) void this.#look();
    });
  }

  #compare(report: RTCStatsReport): void {
    const byMid = new Map(this.#peer.getTransceivers().map((one) => [one.mid, one]));
    const inbound: Inbound[] = [];
    report.forEach((entry: Inbound) => {
      if (entry.type === 'inbound-rtp') inbound.push(entry);
    });
    for (const [id, before] of this.#awaited) {
      const mid = this.#received.find((track) => track.track_id === id)?.mid;
      if (mid === undefined) {
        this.#awaited.delete(id);
        continue;
      }
      // Some browsers name the m-line, some the track.
      const media = byMid.get(mid)?.receiver.track.id;
      const own = inbound.filter((one) => one.mid === mid || one.trackIdentifier === media);
      const count = (one: Inbound): number =>
        (one.kind === 'audio' ? one.packetsReceived : one.framesDecoded) ?? 0;
      // An m-line may have carried another track before.
      const now = new Map(own.map((one) => [one.ssrc ?? 0, count(one)]));
      const more = [...now].some(([ssrc, amount]) => amount > (before?.get(ssrc) ?? 0));
      if (before && more) {
        this.#awaited.delete(id);
        this.#flowing.add(id);
      } else if (!before) {
        this.#awaited.set(id, now);
      }
    }
  }
}
