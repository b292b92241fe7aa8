import { signalEndpoints, type AdmissionSource } from './admissions.ts';
import {
  EdgeError,
  EdgeUnreachable,
  MediaUnreachable,
  RoomEnded,
  type SluiceError,
} from './errors.ts';
import { JoinClock } from './join-clock.ts';
import { persist } from './persist.ts';
import type { Platform } from './platform.ts';
import type { Admission, LeaveReason } from './protocol.ts';
import { reachable } from './reachable.ts';
import { Session, type SessionParts } from './session.ts';

/** How a room is connected. */
export type ConnectionState = 'joining' | 'connected' | 'reconnecting' | 'ended' | 'failed';

/** How long media may take to find its way when joining. */
const FIRST_MEDIA_MS = 20_000;

/** A token that ends this soon is not worth trying. */
const TOKEN_MARGIN_MS = 5_000;

/** An edge that answers and has refused this many attempts to resume has forgotten the session. */
const ATTEMPTS_BEFORE_FORGOTTEN = 2;

/** How long media may take to find its way to the edge that the client was sent to. */
const MOVE_MEDIA_MS = 10_000;

/**
 * How long the session before plays on once the next one is there: the others' pictures come over the
 * new one by then, and the own have reached everybody. An edge keeps both for five seconds.
 */
const OVERLAP_MS = 3_000;

/** An edge that does not answer for this long, while others do, is gone. */
const EDGE_ANSWER_MS = 1_500;

/** What a connection tells its owner. */
export interface ConnectionPort {
  onState(state: ConnectionState): void;
  /** Another session counts from now on. The one before is gone, or is still `played` for a while. */
  onSession(played: boolean): void;
  /** The room is over: every device and everybody in it may be let go of. */
  onOver(): void;
  /** Why the room is over, unless it failed. Follows the change of state. */
  onEnded(reason: LeaveReason): void;
  /** Something failed; the room goes on unless its state says otherwise. */
  onError(error: SluiceError): void;
}

/** The way to a meeting's edge, over as many sessions as it takes. */
export class Connection {
  readonly #platform: Platform;
  readonly #source: AdmissionSource;
  readonly #parts: SessionParts;
  readonly #port: ConnectionPort;
  #admission: Admission;
  #clock: JoinClock;
  #session: Session | undefined;
  #state: ConnectionState = 'joining';
  #rejoining = false;
  /** The session that is being moved from. */
  #moving: Session | undefined;
  /** At the edge that the client was sent to, until it counts. */
  #next: Session | undefined;
  /** Media flows over `#next`, or never will. */
  #arrived: ((error?: SluiceError) => void) | undefined;
  /** At the edge that the client was sent away from, until `OVERLAP_MS` are over. */
  #former: Session | undefined;
  #keepFormer: () => void = () => {};
  #everConnected = false;
  /** Ends the first join early, while it waits for media. */
  #stopWaiting: ((done: 'connected' | SluiceError) => void) | undefined;

  constructor(
    platform: Platform,
    source: AdmissionSource,
    admission: Admission,
    parts: SessionParts,
    clock: JoinClock,
    port: ConnectionPort,
  ) {
    this.#platform = platform;
    this.#source = source;
    this.#admission = admission;
    this.#parts = parts;
    this.#clock = clock;
    this.#port = port;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** What let the client in. */
  get admission(): Admission {
    return this.#admission;
  }

  /** When the steps of the join in force were done. */
  get clock(): JoinClock {
    return this.#clock;
  }

  /** The session in force, if there is one. */
  get session(): Session | undefined {
    return this.#session;
  }

  /** Whether media still comes over the session before, too. */
  get overlaps(): boolean {
    return this.#former !== undefined;
  }

  /** Enters for the first time; resolves once media flows. */
  async open(): Promise<void> {
    try {
      await this.#enter(signalEndpoints(this.#admission), this.#clock, false);
      await this.#connectedOnce();
    } catch (error) {
      if (this.#state !== 'ended') this.#end('failed');
      throw error;
    }
  }

  /** Leaves for good. */
  leave(): void {
    this.#end('ended', 'left');
  }

  /** Waits for media of the first session, or for what comes in its way. */
  #connectedOnce(): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.#platform.after(FIRST_MEDIA_MS, () =>
        this.#stopWaiting?.(
          new MediaUnreachable('media finds no way to the edge: is UDP and TCP blocked?'),
        ),
      );
      this.#stopWaiting = (done) => {
        this.#stopWaiting = undefined;
        cancel();
        if (done === 'connected') resolve();
        else reject(done);
      };
      if (this.#state === 'connected') this.#stopWaiting('connected');
    });
  }

  /** Tells the edge of a change of the local tracks. */
  negotiate(): void {
    this.#session?.negotiate();
    this.#next?.negotiate();
  }

  /** Leaves whatever session there is, and enters anew; as `another` participant if need be. */
  async #enter(endpoints: readonly string[], clock: JoinClock, another: boolean): Promise<void> {
    this.#arrived?.(new EdgeUnreachable('the session before broke'));
    this.#endFormer();
    this.#session?.close(another);
    this.#port.onSession(false);
    this.#clock = clock;
    const session = this.#make(clock, false);
    this.#session = session;
    await session.enter(endpoints, this.#admission.join_token);
    if (this.#isOver()) session.close(true);
  }

  /**
   * Enters while the session `from` goes on, and lets that play on for a while once media flows here.
   * Nothing has changed when this fails.
   */
  async #enterBeside(
    endpoints: readonly string[],
    clock: JoinClock,
    another: boolean,
    from: Session,
  ): Promise<void> {
    const session = this.#make(clock, true);
    this.#next = session;
    const arrived = new Promise<void>((resolve, reject) => {
      this.#arrived = (error) => (error ? reject(error) : resolve());
    });
    // Entering may fail first.
    arrived.catch(() => {});
    let cancel = (): void => {};
    try {
      const others = endpoints.filter((endpoint) => endpoint !== from.endpoint);
      await session.enter(others, this.#admission.join_token);
      cancel = this.#platform.after(MOVE_MEDIA_MS, () =>
        this.#arrived?.(new MediaUnreachable('media finds no way to the edge')),
      );
      await arrived;
      if (from !== this.#session) throw new EdgeUnreachable('another session counts by now');
    } catch (error) {
      session.close(true);
      throw error;
    } finally {
      cancel();
      this.#next = this.#arrived = undefined;
    }
    this.#endFormer();
    from.stepBack();
    this.#former = from;
    this.#session = session;
    this.#clock = clock;
    this.#port.onSession(true);
    session.takeOver();
    this.#updateState();
    const keep = another ? 0 : OVERLAP_MS;
    this.#keepFormer = this.#platform.after(keep, () => this.#endFormer());
  }

  #make(clock: JoinClock, beside: boolean): Session {
    const admission = this.#admission;
    const session: Session = new Session(this.#platform, admission, this.#parts, clock, beside, {
      onStatus: () => {
        if (session !== this.#next) this.#updateState();
        else if (session.connected) this.#arrived?.();
      },
      onLost: (why) => this.#lost(session, why),
      onAttemptFailed: (attempts) => void this.#lookAround(session, attempts),
      onMoved: (endpoints) => void this.#move(session, endpoints),
      onEnded: (reason) => {
        if (session === this.#former) return;
        // A room that must be left does not wait for long: the client is on its way elsewhere.
        const late = reason === 'removed' && session === this.#moving;
        if (late) void this.#rejoin([], session.endpoint);
        else this.#end('ended', reason);
      },
      onError: (error) => {
        if (session !== this.#former) this.#port.onError(error);
      },
    });
    return session;
  }

  #lost(session: Session, why: SluiceError | undefined): void {
    if (session === this.#former) this.#endFormer();
    if (session === this.#next) {
      this.#arrived?.(why ?? new EdgeUnreachable('the edge closed the session at once'));
    }
    if (session !== this.#session) return;
    if (this.#stopWaiting) {
      this.#stopWaiting(why ?? new EdgeUnreachable('the edge closed the session at once'));
      return;
    }
    if (why) this.#port.onError(why);
    void this.#rejoin();
  }

  /** The session before ends: everybody has gone over to the one that counts. */
  #endFormer(): void {
    this.#keepFormer();
    const former = this.#former;
    this.#former = undefined;
    former?.close(true);
  }

  /**
   * The edge goes away, or the room leaves it: the client enters elsewhere before it leaves, so that
   * nobody misses a picture. While that fails the session goes on for as long as the edge has it.
   */
  async #move(from: Session, moved: readonly string[]): Promise<void> {
    if (from === this.#next) this.#arrived?.(new EdgeUnreachable('that edge goes away too'));
    if (from !== this.#session || from === this.#moving) return;
    const { endpoint } = from;
    if (!from.connected) {
      await this.#rejoin(moved, endpoint);
      return;
    }
    this.#moving = from;
    const failed = await persist(
      this.#platform,
      (first) =>
        this.#joinAnew(first ? moved : [], endpoint, (endpoints, clock, another) =>
          this.#enterBeside(endpoints, clock, another, from),
        ),
      () => from !== this.#session,
    );
    if (this.#moving === from) this.#moving = undefined;
    if (failed) this.#port.onError(failed);
  }

  /**
   * The edge does not take the session up again: when it is there, it has forgotten the session;
   * when only others are, it is gone. Either way the client joins anew instead of waiting on.
   */
  async #lookAround(session: Session, attempts: number): Promise<void> {
    if (session !== this.#session) return;
    const edges = [this.#admission, ...this.#admission.candidates];
    const { endpoint } = session;
    const own = edges.find((edge) => edge.signal_endpoint === endpoint) ?? this.#admission;
    const others = edges.filter((edge) => edge !== own).map((edge) => edge.sfu_endpoint);
    const [answers, ...elsewhere] = await Promise.all([
      reachable(this.#platform, own.sfu_endpoint, EDGE_ANSWER_MS),
      ...[...this.#source.probes, ...others].map((url) =>
        reachable(this.#platform, url, EDGE_ANSWER_MS),
      ),
    ]);
    if (session !== this.#session || session.signalling) return;
    const isGone = !answers && elsewhere.includes(true);
    if (isGone) await this.#rejoin([], endpoint);
    else if (answers && attempts >= ATTEMPTS_BEFORE_FORGOTTEN) await this.#rejoin();
  }

  /**
   * Joins anew: with the token at hand while it lasts, so that the client stays who it is. An edge
   * that is known to be `gone`, by its signalling endpoint, is tried last.
   */
  async #rejoin(moved: readonly string[] = [], gone?: string): Promise<void> {
    if (this.#rejoining || this.#isOver() || !this.#everConnected) return;
    this.#rejoining = true;
    this.#updateState();
    const failed = await persist(
      this.#platform,
      (first) =>
        this.#joinAnew(first ? moved : [], gone, (endpoints, clock, another) =>
          this.#enter(endpoints, clock, another),
        ),
      () => this.#isOver(),
    );
    if (failed) {
      this.#port.onError(failed);
      this.#end('failed');
    }
    this.#rejoining = false;
    this.#updateState();
  }

  /** Enters with the token at hand, or when no edge takes that with another. */
  async #joinAnew(
    moved: readonly string[],
    gone: string | undefined,
    enter: (endpoints: readonly string[], clock: JoinClock, another: boolean) => Promise<void>,
  ): Promise<void> {
    const clock = new JoinClock(this.#platform);
    const fresh = this.#admission.expires_at * 1_000 - TOKEN_MARGIN_MS > this.#platform.wallClock();
    if (fresh) {
      try {
        const known = moved.length > 0 ? moved : signalEndpoints(this.#admission, gone);
        await enter(known, clock, false);
        return;
      } catch (error) {
        if (error instanceof EdgeError && error.code === 'forbidden') throw error;
        // The edges that the token knows of are gone: the coordinator may know others.
      }
    }
    if (this.#isOver()) return;
    const before = this.#admission.participant_id;
    this.#admission = await this.#source.next();
    clock.mark('admitted_ms');
    if (this.#isOver()) return;
    // Who is somebody else from now on does not stay behind as a ghost.
    const another = this.#admission.participant_id !== before;
    await enter(signalEndpoints(this.#admission, gone), clock, another);
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
    this.#arrived?.(new EdgeUnreachable('the room is over'));
    for (const session of [this.#next, this.#session, this.#former]) {
      session?.close(reason === 'left');
    }
    this.#keepFormer();
    this.#session = this.#former = undefined;
    this.#port.onOver();
    this.#setState(state);
    if (!reason) return;
    this.#stopWaiting?.(new RoomEnded(reason));
    this.#port.onEnded(reason);
  }

  #isOver(): boolean {
    return this.#state === 'ended' || this.#state === 'failed';
  }

  #setState(state: ConnectionState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#port.onState(state);
    if (state === 'connected') this.#stopWaiting?.('connected');
  }
}
