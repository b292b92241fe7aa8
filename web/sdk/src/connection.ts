import { Backoff } from './backoff.ts';
import type { Coordinator } from './coordinator.ts';
import {
  EdgeError,
  EdgeUnreachable,
  MediaUnreachable,
  RequestRefused,
  RoomEnded,
  asSluiceError,
  type SluiceError,
} from './errors.ts';
import { JoinClock } from './join-clock.ts';
import { delay, type Platform } from './platform.ts';
import type { Admission, LeaveReason } from './protocol.ts';
import { reachable } from './reachable.ts';
import { Session, type SessionParts } from './session.ts';

/** How a room is connected. */
export type ConnectionState = 'joining' | 'connected' | 'reconnecting' | 'ended' | 'failed';

/** How long media may take to find its way when joining. */
const FIRST_MEDIA_MS = 20_000;

/** How long a client tries to join anew before it gives up. */
const REJOIN_MS = 60_000;

/** A token that ends this soon is not worth trying. */
const TOKEN_MARGIN_MS = 5_000;

/** An edge that answers and has refused this many attempts to resume has forgotten the session. */
const ATTEMPTS_BEFORE_FORGOTTEN = 2;

/** An edge that does not answer for this long, while others do, is gone. */
const EDGE_ANSWER_MS = 1_500;

/** Where admissions come from: the coordinator, or the caller's own back end. */
export interface AdmissionSource {
  next(): Promise<Admission>;
  coordinator?: Coordinator;
  /** URLs of which one answers when the network works. */
  probes: string[];
}

/** What a connection tells its owner. */
export interface ConnectionPort {
  onState(state: ConnectionState): void;
  /** The session before is gone; the next one begins. */
  onSession(): void;
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

  /** Enters for the first time; resolves once media flows. */
  async open(): Promise<void> {
    try {
      await this.#enter(signalEndpoints(this.#admission));
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

  async #enter(endpoints: readonly string[]): Promise<void> {
    this.#session?.close(false);
    this.#port.onSession();
    const session: Session = new Session(this.#platform, this.#admission, this.#parts, this.#clock, {
      onStatus: () => this.#updateState(),
      onLost: (why) => {
        if (session !== this.#session) return;
        if (this.#stopWaiting) {
          this.#stopWaiting(why ?? new EdgeUnreachable('the edge closed the session at once'));
          return;
        }
        if (why) this.#port.onError(why);
        void this.#rejoin();
      },
      onAttemptFailed: (attempts) => void this.#lookAround(session, attempts),
      onMoved: (moved) => void this.#rejoin(moved, session.endpoint),
      onEnded: (reason) => this.#end('ended', reason),
      onError: (error) => this.#port.onError(error),
    });
    this.#session = session;
    await session.enter(endpoints, this.#admission.join_token);
    if (this.#isOver()) session.close(true);
  }

  /**
   * The edge does not take the session up again: when it is there, it has forgotten the session;
   * when only others are, it is gone. Either way the client joins anew instead of waiting on.
   */
  async #lookAround(session: Session, attempts: number): Promise<void> {
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
    const backoff = new Backoff(
      { initialMs: 500, maxMs: 8_000, limitMs: REJOIN_MS },
      () => this.#platform.now(),
      () => this.#platform.random(),
    );
    let last: SluiceError = new EdgeUnreachable('no edge lets the client in again');
    let endpoints = moved;
    for (;;) {
      try {
        await this.#joinAnew(endpoints, gone);
        break;
      } catch (error) {
        last = asSluiceError(error);
      }
      endpoints = [];
      const wait = isFinal(last) ? undefined : backoff.next();
      if (this.#isOver()) break;
      if (wait === undefined) {
        this.#port.onError(last);
        this.#end('failed');
        break;
      }
      await delay(this.#platform, wait);
      if (this.#isOver()) break;
    }
    this.#rejoining = false;
    this.#updateState();
  }

  async #joinAnew(moved: readonly string[], gone?: string): Promise<void> {
    this.#clock = new JoinClock(this.#platform);
    const fresh = this.#admission.expires_at * 1_000 - TOKEN_MARGIN_MS > this.#platform.wallClock();
    if (fresh) {
      try {
        await this.#enter(moved.length > 0 ? moved : signalEndpoints(this.#admission, gone));
        return;
      } catch (error) {
        if (error instanceof EdgeError && error.code === 'forbidden') throw error;
        // The edges that the token knows of are gone: the coordinator may know others.
      }
    }
    if (this.#isOver()) return;
    const before = this.#admission.participant_id;
    this.#admission = await this.#source.next();
    this.#clock.mark('admitted_ms');
    if (this.#isOver()) return;
    // Who is somebody else from now on does not stay behind as a ghost.
    if (this.#admission.participant_id !== before) this.#session?.close(true);
    await this.#enter(signalEndpoints(this.#admission, gone));
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

function signalEndpoints(admission: Admission, last?: string): string[] {
  const others = admission.candidates.map((edge) => edge.signal_endpoint);
  const all = [...new Set([admission.signal_endpoint, ...others])];
  return [...all.filter((one) => one !== last), ...all.filter((one) => one === last)];
}

function isFinal(error: SluiceError): boolean {
  return (
    (error instanceof RequestRefused && error.final) ||
    (error instanceof EdgeError && error.code === 'forbidden')
  );
}
