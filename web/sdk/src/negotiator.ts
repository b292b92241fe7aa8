import { NegotiationFailed, type SluiceError } from './errors.ts';
import type { PeerLike } from './platform.ts';
import type {
  ClientMessage,
  EdgeOffer,
  ErrorCode,
  PublishedMid,
  PublishedTrack,
  ReceivedTrack,
} from './protocol.ts';

/** What the negotiator asks of its owner. */
export interface NegotiatorPort {
  /** Sends a message to the edge; one that cannot be sent is lost. */
  send(message: ClientMessage): void;
  /** What the m-lines of the local description carry. */
  published(): PublishedMid[];
  /** The edge said which of the client's tracks it takes. */
  onPublished(tracks: PublishedTrack[]): void;
  /** The edge's offer made m-lines for these tracks, which nothing comes through yet. */
  onOffered(tracks: ReceivedTrack[]): void;
  /** An offer of the edge is in force: these are all the tracks that come in. */
  onReceived(tracks: ReceivedTrack[]): void;
  /** A description could not be made or applied. */
  onFailure(error: SluiceError): void;
}

/**
 * Keeps both sides' descriptions in step: perfect negotiation (RFC 8829, section 4.1.8.2), with
 * the client as the polite side.
 *
 * At most one own offer is under way. When the edge's offer meets it, the own one is rolled back,
 * the edge's is answered, and the own one is made anew; the edge refuses the first with `glare`.
 * Every step runs after the one before it has ended, since a peer connection's methods interleave.
 */
export class Negotiator {
  readonly #peer: PeerLike;
  readonly #port: NegotiatorPort;
  #queue: Promise<void> = Promise.resolve();
  #started = false;
  #closed = false;
  /** Whether messages reach the edge. */
  #linked = false;
  /** An own offer is under way. */
  #offering = false;
  /** The descriptions no longer say what is wanted. */
  #needed = false;
  /** The edge refused what is wanted; the browser's own wish to negotiate is not heard until the client changes something. */
  #refused = false;
  /** Own offers that were rolled back, and whose `glare` is still to come. */
  #glaresDue = 0;
  #lastAnswer: { sdp: string; revision: number } | undefined;

  constructor(peer: PeerLike, port: NegotiatorPort) {
    this.#peer = peer;
    this.#port = port;
    peer.onnegotiationneeded = () => {
      // While an offer is under way the browser asks again once it is answered.
      if (!this.#started || this.#offering || this.#refused) return;
      this.#needed = true;
      this.#run(() => this.#offer());
    };
  }

  /** Makes the first offer, which travels in `participant.hello`. */
  async firstOffer(): Promise<string> {
    this.#started = true;
    this.#offering = true;
    try {
      await this.#peer.setLocalDescription();
      return this.#localSdp();
    } catch (cause) {
      throw failure('the first offer cannot be made', cause);
    }
  }

  /** The edge has answered `participant.hello`, or the session was resumed and is caught up. */
  linkUp(): void {
    this.#linked = true;
    this.#run(() => this.#offer());
  }

  /** Messages no longer reach the edge. */
  linkDown(): void {
    this.#linked = false;
  }

  /**
   * Says again what may have been lost with the old socket: an offer without an answer and the
   * last answer. The edge ignores what it has seen.
   */
  resend(): void {
    this.#run(() => {
      if (this.#lastAnswer) this.#sendAnswer(this.#lastAnswer);
      if (this.#offering) this.#sendOffer();
    });
  }

  /** The client changed something that the edge has to hear of. */
  request(): void {
    this.#needed = true;
    this.#refused = false;
    this.#run(() => this.#offer());
  }

  /** Handles `sfu.answer`. */
  answered(sdp: string, tracks: PublishedTrack[]): void {
    this.#run(async () => {
      // An offer that was said twice is answered twice.
      if (!this.#offering) return;
      await this.#peer.setRemoteDescription({ type: 'answer', sdp });
      this.#offering = false;
      this.#port.onPublished(tracks);
      await this.#offer();
    });
  }

  /** Handles `sfu.offer`. */
  offered(offer: EdgeOffer): void {
    this.#run(async () => {
      if (this.#offering) {
        // setRemoteDescription rolls the own offer back by itself.
        this.#offering = false;
        this.#needed = true;
        this.#glaresDue += 1;
      }
      await this.#peer.setRemoteDescription({ type: 'offer', sdp: offer.sdp_offer });
      this.#port.onOffered(offer.tracks);
      await this.#peer.setLocalDescription();
      this.#lastAnswer = { sdp: this.#localSdp(), revision: offer.revision };
      this.#sendAnswer(this.#lastAnswer);
      this.#port.onReceived(offer.tracks);
      await this.#offer();
    });
  }

  /** Handles an `error` of the edge. Whether it was about a description. */
  failed(code: ErrorCode): boolean {
    switch (code) {
      case 'glare':
        this.#run(() => this.#glare());
        return true;
      case 'stale_revision':
        return true;
      case 'bad_sdp':
        this.#run(() => this.#refuse());
        return false;
      default:
        return false;
    }
  }

  /** Does nothing any more. */
  close(): void {
    this.#closed = true;
    this.#peer.onnegotiationneeded = null;
  }

  async #glare(): Promise<void> {
    if (this.#glaresDue > 0) {
      this.#glaresDue -= 1;
      return;
    }
    if (!this.#offering) return;
    // The edge's offer is still on its way, and brings the next turn.
    await this.#peer.setLocalDescription({ type: 'rollback' });
    this.#offering = false;
    this.#needed = true;
  }

  async #refuse(): Promise<void> {
    if (!this.#offering) return;
    this.#refused = true;
    this.#needed = false;
    await this.#peer.setLocalDescription({ type: 'rollback' });
    this.#offering = false;
  }

  async #offer(): Promise<void> {
    const may = this.#linked && this.#needed && !this.#offering;
    if (!may || this.#peer.signalingState !== 'stable') return;
    this.#needed = false;
    this.#offering = true;
    await this.#peer.setLocalDescription();
    this.#sendOffer();
  }

  #sendOffer(): void {
    this.#port.send({
      type: 'participant.offer',
      sdp_offer: this.#localSdp(),
      tracks: this.#port.published(),
    });
  }

  #sendAnswer(answer: { sdp: string; revision: number }): void {
    this.#port.send({
      type: 'participant.answer',
      sdp_answer: answer.sdp,
      revision: answer.revision,
    });
  }

  #localSdp(): string {
    const sdp = this.#peer.localDescription?.sdp;
    if (sdp === undefined) throw new NegotiationFailed('the browser made an empty description');
    return sdp;
  }

  #run(step: () => Promise<void> | void): void {
    this.#queue = this.#queue.then(async () => {
      if (this.#closed) return;
      try {
        await step();
      } catch (cause) {
        if (!this.#closed) this.#port.onFailure(failure('the negotiation failed', cause));
      }
    });
  }
}

function failure(what: string, cause: unknown): NegotiationFailed {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new NegotiationFailed(`${what}: ${why}`, { cause });
}
