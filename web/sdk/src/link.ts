import { Backoff } from './backoff.ts';
import { Channel } from './channel.ts';
import { EdgeError, EdgeUnreachable } from './errors.ts';
import { Emitter } from './emitter.ts';
import { delay, type Platform } from './platform.ts';
import {
  joinProtocols,
  resumeProtocols,
  type ClientMessage,
  type ErrorCode,
  type ServerEvent,
  type ServerMessage,
  type Snapshot,
} from './protocol.ts';

/** How long an edge may take from `participant.hello` to `room.snapshot`. */
const SNAPSHOT_MS = 10_000;

/** Errors after which another edge may still take the client in. */
const ELSEWHERE: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['edge_full', 'draining', 'internal']);

/** What a link tells its owner. */
export interface LinkEvents {
  /** An event of the edge, each numbered one exactly once and in order. */
  event: ServerEvent;
  /** The socket is gone; the link tries to resume. */
  down: void;
  /** The session goes on, and everything that was missed has been told. */
  up: void;
  /** An attempt to resume failed, the how manieth in a row; more follow. */
  attemptFailed: number;
  /** The session is gone: only joining anew helps. */
  lost: void;
}

/**
 * The signalling session with one edge, over as many WebSockets as it takes.
 *
 * A socket that breaks is replaced with growing, jittered pauses for as long as the edge keeps
 * the session; what happened meanwhile is then replayed, and told apart by its number.
 */
export class Link extends Emitter<LinkEvents> {
  readonly #platform: Platform;
  #channel: Channel | undefined;
  #endpoint = '';
  #resumeToken = '';
  #resumeWindowMs = 0;
  #lastSeq = 0;
  /** The number up to which events are replayed after a resumption. */
  #replayUntil: number | undefined;
  /** Of the resumption under way; kept until the session goes on. */
  #backoff: Backoff | undefined;
  #closed = false;

  constructor(platform: Platform) {
    super();
    this.#platform = platform;
  }

  /** The signalling endpoint in use. */
  get endpoint(): string {
    return this.#endpoint;
  }

  /**
   * Enters at the first of `endpoints` that lets the client in, and resolves once the room's
   * snapshot has been told.
   *
   * @throws EdgeUnreachable when none answers, EdgeError when one refuses for good.
   */
  async open(endpoints: readonly string[], token: string, hello: ClientMessage): Promise<void> {
    let last: unknown = new EdgeUnreachable('the admission names no edge');
    for (const endpoint of endpoints) {
      try {
        await this.#enter(endpoint, token, hello);
        return;
      } catch (error) {
        if (error instanceof EdgeError && !ELSEWHERE.has(error.code)) throw error;
        last = error;
      }
      if (this.#closed) break;
    }
    throw last;
  }

  /** Sends a message; it is lost while the link is down. */
  send(message: ClientMessage): void {
    this.#channel?.send(message);
  }

  /** Ends the link without a word to the edge. */
  close(): void {
    this.#closed = true;
    this.#channel?.close();
    this.#channel = undefined;
  }

  /** Gives the socket up as if it had broken, for when the network is known to have changed. */
  retry(): void {
    if (!this.#channel) return;
    this.#channel.close();
    this.#broken();
  }

  async #enter(endpoint: string, token: string, hello: ClientMessage): Promise<void> {
    let settle: (error?: Error) => void = () => {};
    const entered = new Promise<void>((resolve, reject) => {
      settle = (error) => (error ? reject(error) : resolve());
    });
    // Until the snapshot is here a broken socket means the next edge, not a resumption.
    let inside = false;
    const channel = await Channel.open(this.#platform, endpoint, joinProtocols(token), {
      onMessage: (message) => {
        if (!inside && message.type === 'error' && message.fatal) {
          settle(new EdgeError(message.code, message.message, true));
          return;
        }
        if (message.type === 'room.snapshot') {
          inside = true;
          this.#begin(endpoint, message);
        }
        this.#deliver(message);
        if (inside) settle();
      },
      onClose: () => {
        if (inside) this.#broken();
        else settle(new EdgeUnreachable(`the edge at ${endpoint} closed the connection`));
      },
    });
    if (this.#closed) {
      channel.close();
      return;
    }
    this.#channel = channel;
    const cancel = this.#platform.after(SNAPSHOT_MS, () =>
      settle(new EdgeUnreachable(`the edge at ${endpoint} did not let the client in in time`)),
    );
    channel.send(hello);
    try {
      await entered;
    } catch (error) {
      channel.close();
      this.#channel = undefined;
      throw error;
    } finally {
      cancel();
    }
  }

  #begin(endpoint: string, snapshot: Snapshot): void {
    this.#endpoint = endpoint;
    this.#resumeToken = snapshot.resume_token;
    this.#resumeWindowMs = snapshot.resume_window_ms;
  }

  #broken(): void {
    this.#channel = undefined;
    this.#replayUntil = undefined;
    if (this.#closed) return;
    if (!this.#backoff) this.emit('down', undefined);
    this.#backoff ??= new Backoff(
      { initialMs: 400, maxMs: 5_000, limitMs: this.#resumeWindowMs },
      () => this.#platform.now(),
      () => this.#platform.random(),
    );
    void this.#resume(this.#backoff);
  }

  async #resume(backoff: Backoff): Promise<void> {
    for (;;) {
      const wait = backoff.next();
      if (wait === undefined) break;
      await delay(this.#platform, wait);
      if (this.#closed) return;
      try {
        await this.#reopen();
        return;
      } catch {
        // The next attempt, or the end of the window, follows.
        if (!this.#closed) this.emit('attemptFailed', backoff.attempts);
      }
    }
    if (!this.#closed) this.#lose();
  }

  #lose(): void {
    this.close();
    this.emit('lost', undefined);
  }

  async #reopen(): Promise<void> {
    const protocols = resumeProtocols(this.#resumeToken);
    const channel = await Channel.open(this.#platform, this.#endpoint, protocols, {
      onMessage: (message) => this.#deliver(message),
      onClose: () => this.#broken(),
    });
    if (this.#closed) {
      channel.close();
      return;
    }
    this.#channel = channel;
    channel.send({ type: 'participant.resume', last_seq: this.#lastSeq });
  }

  #deliver(message: ServerMessage): void {
    if (message.type === 'session.resumed') {
      this.#replayUntil = message.last_seq;
      this.#checkCaughtUp();
      return;
    }
    if (message.type === 'error' && message.code === 'resume_expired') {
      this.#lose();
      return;
    }
    if (message.seq !== undefined) {
      if (message.seq <= this.#lastSeq) return;
      this.#lastSeq = message.seq;
    }
    this.emit('event', message);
    this.#checkCaughtUp();
  }

  #checkCaughtUp(): void {
    if (this.#replayUntil === undefined || this.#lastSeq < this.#replayUntil) return;
    this.#replayUntil = undefined;
    this.#backoff = undefined;
    this.emit('up', undefined);
  }
}
