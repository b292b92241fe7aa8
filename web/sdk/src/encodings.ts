import type { PeerLike, SenderLike, TransceiverLike } from './platform.ts';
import type { EncodingState } from './protocol.ts';

/** A codec for what the client sends. */
export type VideoCodec = 'vp8' | 'vp9' | 'h264' | 'av1';

/** How the client's own pictures are sent. */
export interface PublishOptions {
  /** Several encodings of each picture, so that everybody gets one that fits; `true` when absent. */
  simulcast?: boolean;
  /**
   * The codec to send if the edge takes it too. VP9 and AV1 are sent as one scalable stream in
   * place of several encodings.
   */
  codec?: VideoCodec;
  /**
   * How each stream is layered, as https://www.w3.org/TR/webrtc-svc/ names it, such as `L2T2` or
   * `L3T3_KEY`; more than one spatial layer makes it one stream in place of several encodings. When
   * absent `L3T3_KEY` for VP9 and AV1, else `L1T3`. A browser that cannot leaves it out.
   */
  scalabilityMode?: string;
}

/** An encoding with its scalability mode (https://www.w3.org/TR/webrtc-svc/). */
export type Encoding = RTCRtpEncodingParameters & { scalabilityMode?: string };

/** Lowest first, as `publish.encodings` lists them. Bits per second for 720 lines. */
const CAMERA: readonly Encoding[] = [
  { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
];

/** A quarter of a screen's height cannot be read. */
const SCREEN: readonly Encoding[] = [
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 600_000 },
  { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 2_500_000 },
];

/** One spatial layer, three temporal ones, so that the edge can thin frames out. */
const TEMPORAL = 'L1T3';

/** Three spatial layers that depend on each other at key frames only, of three temporal ones. */
const SPATIAL = 'L3T3_KEY';

/** Names of what carries no pictures by itself, and goes with any codec. */
const COMPANIONS: ReadonlySet<string> = new Set(['rtx', 'red', 'ulpfec', 'flexfec-03']);

/** The encodings of a camera or a screen. */
export function sendEncodings(source: 'camera' | 'screen', options: PublishOptions): Encoding[] {
  const layers = source === 'camera' ? CAMERA : SCREEN;
  const scalable = options.codec === 'vp9' || options.codec === 'av1';
  const scalabilityMode = options.scalabilityMode ?? (scalable ? SPATIAL : TEMPORAL);
  const spatial = !scalabilityMode.startsWith('L1');
  if (spatial || options.simulcast === false) return single(layers, scalabilityMode);
  return layers.map((layer) => ({ ...layer, scalabilityMode }));
}

/**
 * Adds an m-line that sends `encodings`, or as much of them as the browser can: without
 * scalability modes, then the largest picture alone.
 */
export function addVideo(
  peer: PeerLike,
  trackOrKind: MediaStreamTrack | 'video',
  encodings: readonly Encoding[],
): TransceiverLike {
  const plain = encodings.map(({ scalabilityMode: _, ...rest }) => rest);
  const { rid: _, ...largest } = plain.at(-1) ?? {};
  for (const sendEncodings of [[...encodings], plain, [largest]]) {
    try {
      return peer.addTransceiver(trackOrKind, { direction: 'sendonly', sendEncodings });
    } catch {
      // The next needs less of the browser.
    }
  }
  return peer.addTransceiver(trackOrKind, { direction: 'sendonly' });
}

/**
 * `codecs` with `wanted` first; without the others when `only` it will do. A codec that the browser
 * does not have changes nothing.
 */
export function preferCodec(
  codecs: readonly RTCRtpCodec[],
  wanted: VideoCodec,
  only: boolean,
): RTCRtpCodec[] {
  const name = ({ mimeType }: RTCRtpCodec): string => mimeType.toLowerCase().replace('video/', '');
  const first = codecs.filter((codec) => name(codec) === wanted);
  if (first.length === 0) return [];
  const rest = codecs.filter((codec) => name(codec) !== wanted);
  return [...first, ...(only ? rest.filter((codec) => COMPANIONS.has(name(codec))) : rest)];
}

/**
 * Which encodings of one sender are active. Changes run one after another, since a sender takes
 * its parameters back only as it last gave them.
 */
export class ActiveEncodings {
  readonly #sender: SenderLike;
  #wanted = new Map<string, boolean>();
  #queue: Promise<void> = Promise.resolve();

  constructor(sender: SenderLike) {
    this.#sender = sender;
  }

  /** Takes what anybody wants of the encodings; one that is not listed stays as it is. */
  want(states: readonly EncodingState[]): Promise<void> {
    for (const { rid, active } of states) this.#wanted.set(rid, active);
    return this.apply();
  }

  /** Sends all encodings again. */
  reset(): Promise<void> {
    for (const rid of this.#wanted.keys()) this.#wanted.set(rid, true);
    return this.apply();
  }

  /** Makes the sender as it was wanted last, if it is not. */
  apply(): Promise<void> {
    this.#queue = this.#queue.then(() => this.#apply()).catch(() => {
      // Between two descriptions a sender may refuse; the next description applies it again.
    });
    return this.#queue;
  }

  async #apply(): Promise<void> {
    const parameters = this.#sender.getParameters();
    let changed = false;
    for (const encoding of parameters.encodings) {
      const active = this.#wanted.get(encoding.rid ?? '') ?? encoding.active ?? true;
      if (active === (encoding.active ?? true)) continue;
      encoding.active = active;
      changed = true;
    }
    if (changed) await this.#sender.setParameters(parameters);
  }
}

function single(layers: readonly Encoding[], scalabilityMode: string): Encoding[] {
  const { maxBitrate } = layers.at(-1) ?? {};
  return [{ ...(maxBitrate !== undefined && { maxBitrate }), scalabilityMode }];
}
