import {
  ActiveEncodings,
  addVideo,
  preferCodec,
  sendEncodings,
  type PublishOptions,
} from './encodings.ts';
import type { PeerLike, Platform, TransceiverLike } from './platform.ts';
import type { EncodingState, PublishedMid, TrackSource } from './protocol.ts';

/** How own tracks are sent. */
export interface PublicationOptions extends PublishOptions {
  /** Called with each m-line of an own track before it is described. */
  onTransceiver?: (transceiver: TransceiverLike, kind: 'audio' | 'video') => void;
  /** Keeps every codec but the preferred one from being negotiated for pictures. */
  onlyCodec?: boolean;
}

/** What one m-line sends. */
interface Line {
  transceiver: TransceiverLike;
  track: MediaStreamTrack | undefined;
  /** Of a camera or a screen. */
  encodings: ActiveEncodings | undefined;
  /** The height of the picture that the edge was last told. */
  height: number | undefined;
}

/** The client's own tracks as one peer connection sends them, with an m-line for each source. */
export class Publication {
  readonly #platform: Platform;
  readonly #peer: PeerLike;
  readonly #options: PublicationOptions;
  readonly #lines = new Map<TrackSource, Line>();

  constructor(platform: Platform, peer: PeerLike, options: PublicationOptions) {
    this.#platform = platform;
    this.#peer = peer;
    this.#options = options;
  }

  /** Makes the m-line of a source, which sends `track` or as yet nothing. */
  open(name: TrackSource, track: MediaStreamTrack | undefined): void {
    const picture = name === 'camera' || name === 'screen';
    let transceiver: TransceiverLike;
    if (picture) {
      const encodings = sendEncodings(name, this.#options);
      transceiver = addVideo(this.#peer, track ?? 'video', encodings);
      this.#preferCodec(transceiver);
    } else {
      transceiver = this.#peer.addTransceiver(track ?? 'audio', { direction: 'sendonly' });
    }
    this.#lines.set(name, {
      transceiver,
      track,
      encodings: picture ? new ActiveEncodings(transceiver.sender) : undefined,
      height: undefined,
    });
    this.#options.onTransceiver?.(transceiver, picture ? 'video' : 'audio');
  }

  /**
   * Sends `track` as the source's own, in place of the one before.
   *
   * @returns whether the edge has to be told of the picture's height.
   */
  async put(name: TrackSource, track: MediaStreamTrack | undefined): Promise<boolean> {
    const line = this.#lines.get(name);
    if (!line) {
      if (track) this.open(name, track);
      return false;
    }
    line.track = track;
    await line.transceiver.sender.replaceTrack(track ?? null);
    if (track) line.transceiver.direction = 'sendonly';
    void line.encodings?.apply();
    const height = heightOf(track);
    return height !== undefined && height !== line.height;
  }

  /** Ends what a source sends; the m-line stays for the next time. */
  end(name: TrackSource): void {
    const line = this.#lines.get(name);
    if (!line) return;
    line.transceiver.direction = 'inactive';
    // What comes next is another track, of which nobody has said yet what they want.
    void line.encodings?.reset();
  }

  /** What the m-lines of the local description carry. */
  published(): PublishedMid[] {
    return [...this.#lines].flatMap(([source, line]) => {
      const { transceiver, track } = line;
      if (!transceiver.mid || transceiver.direction !== 'sendonly') return [];
      line.height = heightOf(track);
      const height = line.height !== undefined && { height: line.height };
      return [{ mid: transceiver.mid, source, ...height }];
    });
  }

  /** Sends those encodings of an m-line that anybody wants. */
  async setEncodings(mid: string, encodings: readonly EncodingState[]): Promise<void> {
    const line = [...this.#lines.values()].find(({ transceiver }) => transceiver.mid === mid);
    await line?.encodings?.want(encodings);
  }

  /** A description is in force, and the browser may have set senders up anew. */
  described(): void {
    for (const { encodings } of this.#lines.values()) void encodings?.apply();
  }

  #preferCodec(transceiver: TransceiverLike): void {
    const { codec, onlyCodec = false } = this.#options;
    if (!codec) return;
    const codecs = preferCodec(this.#platform.videoCodecs(), codec, onlyCodec);
    if (codecs.length > 0) transceiver.setCodecPreferences(codecs);
  }
}

/** The height of a track's picture; absent for sound, and for what does not say. */
function heightOf(track: MediaStreamTrack | undefined): number | undefined {
  const height = track?.kind === 'video' ? track.getSettings().height : undefined;
  return height === undefined ? undefined : Math.round(height);
}
