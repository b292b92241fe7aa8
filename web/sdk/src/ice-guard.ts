import type { PeerLike, Platform } from './platform.ts';

/** `disconnected` often heals by itself within this time. */
const HEALS_WITHIN_MS = 2_000;

/** How long an ICE restart may take before the next. */
const RESTART_EVERY_MS = 6_000;

/** After this long without media the session is joined anew. */
const GIVE_UP_MS = 30_000;

/** What the guard tells its owner. */
export interface IceGuardPort {
  /** Whether media flows. */
  onMedia(up: boolean): void;
  /** ICE should be restarted. */
  onRestart(): void;
  /** No restart has helped. */
  onGiveUp(): void;
}

/** Watches a peer connection and asks for ICE restarts (RFC 8445, section 9) while it is cut off. */
export class IceGuard {
  readonly #platform: Platform;
  readonly #peer: PeerLike;
  readonly #port: IceGuardPort;
  #cancel: () => void = () => {};
  /** Since when media does not flow, in milliseconds. */
  #downSince: number;
  #up = false;

  constructor(platform: Platform, peer: PeerLike, port: IceGuardPort) {
    this.#platform = platform;
    this.#peer = peer;
    this.#port = port;
    this.#downSince = platform.now();
    peer.onconnectionstatechange = () => this.#changed();
    this.#watch(RESTART_EVERY_MS);
  }

  /** Whether media flows. */
  get up(): boolean {
    return this.#up;
  }

  /** The network is another now: does not wait for ICE to find out. */
  networkChanged(): void {
    if (this.#peer.connectionState === 'closed') return;
    this.#port.onRestart();
  }

  /** Stops watching. */
  close(): void {
    this.#cancel();
    this.#peer.onconnectionstatechange = null;
  }

  #changed(): void {
    switch (this.#peer.connectionState) {
      case 'connected':
        this.#cancel();
        this.#set(true);
        return;
      case 'disconnected':
        this.#watch(HEALS_WITHIN_MS);
        return;
      case 'failed':
        this.#restart();
        return;
      default:
    }
  }

  #watch(ms: number): void {
    this.#cancel();
    this.#cancel = this.#platform.after(ms, () => {
      if (this.#peer.connectionState !== 'connected') this.#restart();
    });
  }

  #restart(): void {
    this.#set(false);
    if (this.#platform.now() - this.#downSince >= GIVE_UP_MS) {
      this.#cancel();
      this.#port.onGiveUp();
      return;
    }
    this.#port.onRestart();
    this.#watch(RESTART_EVERY_MS);
  }

  #set(up: boolean): void {
    if (this.#up === up) return;
    this.#up = up;
    if (!up) this.#downSince = this.#platform.now();
    this.#port.onMedia(up);
  }
}
