import type { DataChannels } from './data-channels.ts';
import type { Encryption } from './e2ee/encryption.ts';
import { EdgeError, type SluiceError } from './errors.ts';
import { Feed } from './feed.ts';
import { IceGuard } from './ice-guard.ts';
import type { JoinClock } from './join-clock.ts';
import { Link } from './link.ts';
import type { LocalMedia } from './local-media.ts';
import { Negotiator } from './negotiator.ts';
import type { PeerLike, Platform } from './platform.ts';
import type {
  Admission,
  ClientMessage,
  LeaveReason,
  PublishedTrack,
  ReceivedTrack,
  ServerEvent,
} from './protocol.ts';
import type { Publication } from './publication.ts';
import type { Roster } from './roster.ts';
import type { Subscriptions } from './subscriptions.ts';

/** What a session tells its owner. */
export interface SessionPort {
  /** `Session.connected` may be another now. */
  onStatus(): void;
  /** The session cannot go on; joining anew may help. */
  onLost(why: SluiceError | undefined): void;
  /** Signalling is lost: 0. Then an attempt to resume failed, the how manieth in a row. */
  onAttemptFailed(attempts: number): void;
  /** The edge goes away: join anew at one of these signalling endpoints, or ask the coordinator. */
  onMoved(endpoints: string[]): void;
  /** The room is over for the client. */
  onEnded(reason: LeaveReason): void;
  /** Something failed, and the session goes on. */
  onError(error: SluiceError): void;
}

/** What outlives a session, and takes part in each. */
export interface SessionParts {
  local: LocalMedia;
  roster: Roster;
  subscriptions: Subscriptions;
  data: DataChannels;
  /** End to end; absent when there is none. */
  encryption: Encryption | undefined;
}

/** The most events that are held while the session before is still the one that counts. */
const HELD_MAX = 512;

/**
 * Whether a session is `beside` the one that counts, is that one `now`, or came `before` it and only
 * plays on.
 */
type Standing = 'beside' | 'now' | 'before';

/** One stay at one edge: a signalling link and a peer connection that belong together. */
export class Session {
  readonly #platform: Platform;
  readonly #local: LocalMedia;
  readonly #roster: Roster;
  readonly #subscriptions: Subscriptions;
  readonly #data: DataChannels;
  readonly #clock: JoinClock;
  readonly #port: SessionPort;
  readonly #link: Link;
  readonly #peer: PeerLike;
  readonly #negotiator: Negotiator;
  readonly #guard: IceGuard;
  readonly #feed: Feed;
  readonly #say = (message: ClientMessage): void => this.#link.send(message);
  readonly #stopListening: (() => void)[] = [];
  #published: PublishedTrack[] = [];
  #publication: Publication | undefined;
  #closeData: () => void = () => {};
  #standing: Standing;
  /** What happened in the room while the session is `beside` another. */
  #held: ServerEvent[] = [];
  #linked = false;
  #answered = false;
  #closed = false;

  /** A session that is `beside` another takes part in nothing but media until `takeOver`. */
  constructor(
    platform: Platform,
    admission: Admission,
    parts: SessionParts,
    clock: JoinClock,
    beside: boolean,
    port: SessionPort,
  ) {
    const { local, roster, subscriptions, data, encryption } = parts;
    this.#platform = platform;
    this.#local = local;
    this.#roster = roster;
    this.#subscriptions = subscriptions;
    this.#data = data;
    this.#clock = clock;
    this.#port = port;
    this.#link = new Link(platform);
    this.#peer = platform.peer({
      iceServers: admission.ice_servers,
      bundlePolicy: 'max-bundle',
      rtcpMuxPolicy: 'require',
      ...encryption?.configuration,
    });
    this.#standing = beside ? 'beside' : 'now';
    this.#feed = new Feed(platform, this.#peer, () => this.#refresh());
    encryption?.begin(admission.participant_id, beside);
    this.#negotiator = new Negotiator(this.#peer, {
      send: this.#say,
      published: () => this.#publication?.published() ?? [],
      onPublished: (tracks) => this.#onPublished(tracks),
      onOffered: (tracks) => this.#decrypt(encryption, tracks),
      onReceived: (tracks) => this.#receive(tracks),
      onFailure: (error) => port.onLost(error),
    });
    this.#guard = new IceGuard(platform, this.#peer, {
      onMedia: (up) => {
        if (up) clock.mark('connected_ms');
        port.onStatus();
      },
      onRestart: () => this.#restartIce(),
      onGiveUp: () => port.onLost(undefined),
    });
  }

  /** Whether signalling and media both work. */
  get connected(): boolean {
    return this.#linked && this.#answered && this.#guard.up;
  }

  /** The signalling endpoint in use. */
  get endpoint(): string {
    return this.#link.endpoint;
  }

  /** Whether signalling works. */
  get signalling(): boolean {
    return this.#linked;
  }

  /** The client's own tracks that the edge takes. */
  get published(): readonly PublishedTrack[] {
    return this.#published;
  }

  /** The browser's statistics. */
  getStats(): Promise<RTCStatsReport> {
    return this.#peer.getStats();
  }

  /**
   * Enters at the first of `endpoints` that lets the client in.
   *
   * @throws EdgeUnreachable, EdgeError, NegotiationFailed
   */
  async enter(endpoints: readonly string[], token: string): Promise<void> {
    this.#publication = this.#local.bind(this.#peer);
    this.#closeData = this.#data.bind(this.#peer);
    if (this.#standing === 'now') this.#roster.play(this.#feed);
    const offer = await this.#negotiator.firstOffer();
    this.#listen();
    await this.#link.open(endpoints, token, {
      type: 'participant.hello',
      sdp_offer: offer,
      tracks: this.#publication.published(),
      presence: this.#local.presence,
    });
    this.#clock.mark('signalling_ms');
    this.#linked = true;
    if (this.#standing === 'now') this.#subscriptions.linkUp(this.#say);
    this.#port.onStatus();
  }

  /** Counts from now on, in place of the session before, which has been told to `stepBack`. */
  takeOver(): void {
    this.#standing = 'now';
    this.#roster.play(this.#feed);
    for (const event of this.#held.splice(0)) this.#roster.handle(event);
    if (!this.#linked) return;
    this.#link.send({ type: 'presence.update', ...this.#local.presence });
    this.#subscriptions.linkUp(this.#say);
  }

  /** Another session counts from now on; this one's media goes on until it is closed. */
  stepBack(): void {
    this.#standing = 'before';
  }

  /** Sends a message; while the link is down only what `#linkUp` says again is not lost. */
  send(message: ClientMessage): void {
    this.#link.send(message);
  }

  /** Tells the edge of a change of the local tracks. */
  negotiate(): void {
    this.#negotiator.request();
  }

  /** Ends the session; with a word to the edge, it is over at once. */
  close(leave: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    if (leave) this.#link.send({ type: 'participant.leave' });
    for (const stop of this.#stopListening) stop();
    this.#subscriptions.linkDown(this.#say);
    this.#closeData();
    if (this.#publication) this.#local.unbind(this.#publication);
    this.#link.close();
    this.#negotiator.close();
    this.#guard.close();
    this.#feed.close();
    this.#roster.drop(this.#feed);
    this.#peer.close();
    this.#linked = false;
  }

  #listen(): void {
    this.#stopListening.push(
      this.#link.on('event', (event) => this.#handle(event)),
      this.#link.on('up', () => this.#linkUp()),
      this.#link.on('down', () => this.#linkDown()),
      this.#link.on('attemptFailed', (attempts) => this.#port.onAttemptFailed(attempts)),
      this.#link.on('lost', () => this.#port.onLost(undefined)),
      this.#platform.onNetworkChange(() => {
        this.#link.retry();
        this.#guard.networkChanged();
      }),
    );
  }

  #handle(event: ServerEvent): void {
    switch (event.type) {
      case 'sfu.answer':
        this.#negotiator.answered(event.sdp_answer, event.tracks);
        return;
      case 'sfu.offer':
        this.#negotiator.offered(event);
        return;
      case 'publish.encodings':
        void this.#publication?.setEncodings(event.mid, event.encodings);
        return;
      case 'room.ended':
        this.#port.onEnded(event.reason);
        return;
      case 'session.moved':
        this.#port.onMoved(event.candidates);
        return;
      case 'error':
        if (this.#negotiator.failed(event.code)) return;
        this.#port.onError(new EdgeError(event.code, event.message, event.fatal));
        return;
      default:
        this.#hear(event);
    }
  }

  /** Takes an event about the room. */
  #hear(event: ServerEvent): void {
    if (this.#standing === 'now') this.#roster.handle(event);
    if (this.#standing !== 'beside') return;
    this.#held.push(event);
    if (this.#held.length > HELD_MAX) this.#port.onLost(undefined);
  }

  #refresh(): void {
    if (this.#standing !== 'beside') this.#roster.refresh();
  }

  #onPublished(tracks: PublishedTrack[]): void {
    this.#published = tracks;
    this.#publication?.described();
    if (this.#answered) return;
    this.#answered = true;
    this.#clock.mark('answered_ms');
    if (this.#linked) this.#negotiator.linkUp();
    this.#port.onStatus();
  }

  #receive(tracks: ReceivedTrack[]): void {
    this.#feed.receive(tracks);
    this.#refresh();
    const mids = new Set(tracks.map((track) => track.mid));
    for (const { mid, receiver } of this.#peer.getTransceivers()) {
      if (mid !== null && mids.has(mid)) this.#clock.watch(receiver.track);
    }
  }

  #decrypt(encryption: Encryption | undefined, tracks: readonly ReceivedTrack[]): void {
    if (!encryption) return;
    const byMid = new Map(this.#peer.getTransceivers().map((one) => [one.mid, one]));
    for (const { mid, participant_id } of tracks) {
      const transceiver = byMid.get(mid);
      if (transceiver) encryption.receive(transceiver, participant_id);
    }
  }

  #linkDown(): void {
    this.#linked = false;
    this.#subscriptions.linkDown(this.#say);
    this.#negotiator.linkDown();
    this.#port.onStatus();
    this.#port.onAttemptFailed(0);
  }

  #linkUp(): void {
    this.#linked = true;
    if (this.#standing === 'now') {
      this.#link.send({ type: 'presence.update', ...this.#local.presence });
      this.#subscriptions.linkUp(this.#say);
    }
    this.#negotiator.resend();
    this.#negotiator.linkUp();
    this.#port.onStatus();
  }

  #restartIce(): void {
    this.#peer.restartIce();
    this.#negotiator.request();
  }
}
