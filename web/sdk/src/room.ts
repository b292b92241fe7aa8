import { Backoff } from './backoff.ts';
import type { Coordinator } from './coordinator.ts';
import { Emitter } from './emitter.ts';
import {
  EdgeError,
  EdgeUnreachable,
  MediaUnreachable,
  NotAllowed,
  RequestRefused,
  RoomEnded,
  asSluiceError,
  type SluiceError,
} from './errors.ts';
import type { DeviceChoice, LocalMedia } from './local-media.ts';
import type { Participant } from './participant.ts';
import { delay, type Platform } from './platform.ts';
import type { Admission, LeaveReason, TrackSource, WaitingParticipant } from './protocol.ts';
import { reachable } from './reachable.ts';
import { Roster, type RosterEvents } from './roster.ts';
import { Session } from './session.ts';
import { StatsReader, type RoomStats } from './stats.ts';

/** How a room is connected. */
export type ConnectionState = 'joining' | 'connected' | 'reconnecting' | 'ended' | 'failed';

/** How long media may take to find its way when joining. */
const FIRST_MEDIA_MS = 20_000;

/** How long a client tries to join anew before it gives up. */
const REJOIN_MS = 60_000;

/** A token that ends this soon is not worth trying. */
const TOKEN_MARGIN_MS = 5_000;

/** After this many failed attempts to resume, the edge is asked whether it is there at all. */
const ATTEMPTS_BEFORE_PROBE = 2;

/** What a room tells. */
export interface RoomEvents extends RosterEvents {
  connectionState: ConnectionState;
  /** A local source was switched on or off. */
  localMediaChanged: TrackSource;
  /** The room is over for this client: it left, was removed, or the meeting was ended. */
  ended: LeaveReason;
  /** Something failed; the room goes on unless its state says otherwise. */
  error: SluiceError;
}

const ROSTER_EVENTS: readonly (keyof RosterEvents)[] = [
  'participantJoined',
  'participantLeft',
  'presenceChanged',
  'trackPublished',
  'trackUnpublished',
  'trackSubscribed',
  'trackUnsubscribed',
  'pathChanged',
];

/** Where admissions come from: the coordinator, or the caller's own back end. */
export interface AdmissionSource {
  next(): Promise<Admission>;
  coordinator?: Coordinator;
  /** URLs of which one answers when the network works. */
  probes: string[];
}

/** A meeting that the client is in. */
export class Room extends Emitter<RoomEvents> {
  readonly #platform: Platform;
  readonly #source: AdmissionSource;
  readonly #local: LocalMedia;
  readonly #roster = new Roster();
  readonly #stats = new StatsReader();
  #admission: Admission;
  #session: Session | undefined;
  #state: ConnectionState = 'joining';
  #rejoining = false;
  #everConnected = false;
  /** Ends the first join early, while it waits for media. */
  #lostEarly: ((why: SluiceError | undefined) => void) | undefined;

  /** @internal Rooms come from `SluiceClient.join`. */
  constructor(
    platform: Platform,
    source: AdmissionSource,
    admission: Admission,
    local: LocalMedia,
  ) {
    super();
    this.#platform = platform;
    this.#source = source;
    this.#admission = admission;
    this.#local = local;
    for (const name of ROSTER_EVENTS) this.#forward(name);
    local.on('changed', (name) => {
      this.#session?.send({ type: 'presence.update', ...local.presence });
      this.emit('localMediaChanged', name);
    });
    local.on('negotiate', () => this.#session?.negotiate());
    local.on('error', (error) => this.emit('error', error));
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The others, by id, in order of joining. */
  get participants(): ReadonlyMap<string, Participant> {
    return this.#roster.participants;
  }

  /** The client itself; absent until the first snapshot. */
  get localParticipant(): Participant | undefined {
    return this.#roster.local;
  }

  /** What let the client in. */
  get admission(): Readonly<Admission> {
    return this.#admission;
  }

  /** Whether a local source is on. */
  isOn(source: TrackSource): boolean {
    return this.#local.isOn(source);
  }

  /** The track of a local source, to show it to its owner. */
  localTrack(source: TrackSource): MediaStreamTrack | undefined {
    return this.#local.track(source);
  }

  /** Unmutes or mutes the microphone, or takes another. @throws MediaError, NotAllowed */
  async setMicrophone(choice: DeviceChoice): Promise<void> {
    this.#requirePublisher();
    return this.#local.set('microphone', choice);
  }

  /** Switches the camera on or off, or takes another. @throws MediaError, NotAllowed */
  async setCamera(choice: DeviceChoice): Promise<void> {
    this.#requirePublisher();
    return this.#local.set('camera', choice);
  }

  /**
   * Uses another microphone or camera: at once when it is on, else when it is next switched on.
   * @throws MediaError
   */
  chooseDevice(device: 'microphone' | 'camera', deviceId: string): Promise<void> {
    return this.#local.choose(device, deviceId);
  }

  /** Shares a screen or window, or stops. @throws MediaError, NotAllowed */
  shareScreen(share: boolean): Promise<void> {
    return this.#local.shareScreen(share, this.#admission.role);
  }

  /** Raises the hand, or lowers it. */
  raiseHand(raised: boolean): void {
    this.#local.handRaised = raised;
    this.#session?.send({ type: 'presence.update', hand_raised: raised });
  }

  /** Removes somebody. @throws NotAllowed unless the client is a host. */
  remove(participantId: string): void {
    if (this.#admission.role !== 'host') throw new NotAllowed('only a host removes participants');
    this.#session?.send({ type: 'participant.remove', participant_id: participantId });
  }

  /** Those in the waiting room. Needs the host key. @throws RequestRefused, CoordinatorUnreachable */
  async waiting(): Promise<WaitingParticipant[]> {
    return (await this.#source.coordinator?.waiting()) ?? [];
  }

  /** Lets somebody in. Needs the host key. @throws RequestRefused, CoordinatorUnreachable */
  async admit(participantId: string): Promise<void> {
    await this.#source.coordinator?.admit(participantId);
  }

  /** Turns somebody away. Needs the host key. @throws RequestRefused, CoordinatorUnreachable */
  async deny(participantId: string): Promise<void> {
    await this.#source.coordinator?.deny(participantId);
  }

  /** Leaves for good and lets go of every device. */
  leave(): void {
    this.#end('ended', 'left');
  }

  /** Figures of the transport and of every track, over the time since the call before. */
  async stats(): Promise<RoomStats> {
    const session = this.#session;
    if (!session) return this.#stats.empty();
    const published = session.published;
    return this.#stats.read(await session.getStats(), published, this.#roster.participants);
  }

  /**
   * @internal Enters for the first time; resolves once media flows.
   * @throws EdgeUnreachable, EdgeError, MediaUnreachable, NegotiationFailed, RoomEnded
   */
  async enter(): Promise<void> {
    try {
      await this.#enter(signalEndpoints(this.#admission));
      await this.#connectedOnce();
    } catch (error) {
      if (this.#state !== 'ended') this.#end('failed');
      throw error;
    }
  }

  #requirePublisher(): void {
    if (this.#admission.role !== 'viewer') return;
    throw new NotAllowed('a viewer publishes nothing: attendee, speaker or host is needed');
  }

  #connectedOnce(): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.#platform.after(FIRST_MEDIA_MS, () => {
        done();
        reject(new MediaUnreachable('media finds no way to the edge: is UDP and TCP blocked?'));
      });
      const stopEnded = this.on('ended', (reason) => {
        done();
        reject(new RoomEnded(reason));
      });
      const stopState = this.on('connectionState', () => check());
      const done = (): void => {
        this.#lostEarly = undefined;
        for (const stop of [cancel, stopEnded, stopState]) stop();
      };
      this.#lostEarly = (why) => {
        done();
        reject(why ?? new EdgeUnreachable('the edge closed the session at once'));
      };
      const check = (): void => {
        if (this.#state !== 'connected') return;
        done();
        resolve();
      };
      check();
    });
  }

  async #enter(endpoints: readonly string[]): Promise<void> {
    this.#session?.close(false);
    this.#roster.detachAll();
    this.#stats.reset();
    const session: Session = new Session(
      this.#platform,
      this.#admission,
      this.#local,
      this.#roster,
      {
        onStatus: () => this.#updateState(),
        onLost: (why) => {
          if (session !== this.#session) return;
          if (this.#lostEarly) {
            this.#lostEarly(why);
            return;
          }
          if (why) this.emit('error', why);
          void this.#rejoin();
        },
        onAttemptFailed: (attempts) => void this.#lookAround(session, attempts),
        onMoved: (moved) => void this.#rejoin(moved),
        onEnded: (reason) => this.#end('ended', reason),
        onError: (error) => this.emit('error', error),
      },
    );
    this.#session = session;
    await session.enter(endpoints, this.#admission.join_token);
    if (this.#isOver()) session.close(true);
  }

  /**
   * The edge does not take the session up again: when it is there, it has forgotten the session;
   * when only others are, it is gone. Either way the client joins anew instead of waiting on.
   */
  async #lookAround(session: Session, attempts: number): Promise<void> {
    if (attempts < ATTEMPTS_BEFORE_PROBE) return;
    const { sfu_endpoint, candidates } = this.#admission;
    const others = [...this.#source.probes, ...candidates.map((edge) => edge.sfu_endpoint)];
    const elsewhere = attempts >= 2 * ATTEMPTS_BEFORE_PROBE ? others : [];
    const answers = await Promise.all(
      [sfu_endpoint, ...elsewhere].map((url) => reachable(this.#platform, url)),
    );
    if (session !== this.#session || session.signalling || !answers.includes(true)) return;
    await this.#rejoin();
  }

  /** Joins anew: with the token at hand while it lasts, so that the client stays who it is. */
  async #rejoin(moved: readonly string[] = []): Promise<void> {
    if (this.#rejoining || this.#isOver() || !this.#everConnected) return;
    this.#rejoining = true;
    this.#updateState();
    const backoff = new Backoff(
      { initialMs: 500, maxMs: 8_000, limitMs: REJOIN_MS },
      () => this.#platform.now(),
      () => this.#platform.random(),
    );
    let last: SluiceError = new EdgeUnreachable('no edge lets the client in again');
    let endpoints = moved;
    for (;;) {
      try {
        await this.#joinAnew(endpoints);
        break;
      } catch (error) {
        last = asSluiceError(error);
      }
      endpoints = [];
      const wait = isFinal(last) ? undefined : backoff.next();
      if (this.#isOver()) break;
      if (wait === undefined) {
        this.emit('error', last);
        this.#end('failed');
        break;
      }
      await delay(this.#platform, wait);
      if (this.#isOver()) break;
    }
    this.#rejoining = false;
    this.#updateState();
  }

  async #joinAnew(moved: readonly string[]): Promise<void> {
    const fresh = this.#admission.expires_at * 1_000 - TOKEN_MARGIN_MS > this.#platform.wallClock();
    if (fresh) {
      try {
        await this.#enter(moved.length > 0 ? moved : signalEndpoints(this.#admission));
        return;
      } catch (error) {
        if (error instanceof EdgeError && error.code === 'forbidden') throw error;
        // The edges that the token knows of are gone: the coordinator may know others.
      }
    }
    if (this.#isOver()) return;
    this.#admission = await this.#source.next();
    if (this.#isOver()) return;
    await this.#enter(signalEndpoints(this.#admission));
  }

  #updateState(): void {
    if (this.#isOver()) return;
    if (this.#session?.connected && !this.#rejoining) {
      this.#everConnected = true;
      this.#setState('connected');
    } else {
      this.#setState(this.#everConnected ? 'reconnecting' : 'joining');
    }
  }

  #end(state: 'ended' | 'failed', reason?: LeaveReason): void {
    if (this.#isOver()) return;
    this.#session?.close(reason === 'left');
    this.#session = undefined;
    this.#roster.detachAll();
    this.#local.stop();
    this.#setState(state);
    if (reason) this.emit('ended', reason);
  }

  #isOver(): boolean {
    return this.#state === 'ended' || this.#state === 'failed';
  }

  #setState(state: ConnectionState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.emit('connectionState', state);
  }

  #forward<Name extends keyof RosterEvents>(name: Name): void {
    this.#roster.on(name, (payload) => this.emit(name, payload as RoomEvents[Name]));
  }
}

function signalEndpoints(admission: Admission): string[] {
  const others = admission.candidates.map((edge) => edge.signal_endpoint);
  return [...new Set([admission.signal_endpoint, ...others])];
}

function isFinal(error: SluiceError): boolean {
  return (
    (error instanceof RequestRefused && error.final) ||
    (error instanceof EdgeError && error.code === 'forbidden')
  );
}
