import { EdgeUnreachable } from './errors.ts';
import type { Platform, SocketLike } from './platform.ts';
import { parseServerMessage, type ClientMessage, type ServerMessage } from './protocol.ts';

/** How long a socket may take to open. */
const OPEN_MS = 5_000;

/** How often a `ping` is sent. */
const PING_MS = 1_000;

/** A socket that was silent for this long is dead. Losing it costs a resumption, and no media. */
const SILENCE_MS = 2_500;

/** What a channel tells its owner. */
export interface ChannelPort {
  onMessage(message: ServerMessage): void;
  /** The socket is gone; called once, and not after `close`. */
  onClose(): void;
}

/** One WebSocket to an edge: JSON both ways, and a `ping` to notice when nobody is there. */
export class Channel {
  readonly #platform: Platform;
  readonly #socket: SocketLike;
  readonly #port: ChannelPort;
  #heardAt: number;
  #stopPing: () => void = () => {};
  #closed = false;

  private constructor(platform: Platform, socket: SocketLike, port: ChannelPort) {
    this.#platform = platform;
    this.#socket = socket;
    this.#port = port;
    this.#heardAt = platform.now();
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = () => this.#gone();
    this.#schedulePing();
  }

  /**
   * Opens a socket and waits until it is open.
   *
   * @throws EdgeUnreachable when it does not open in time or is refused; a browser does not say
   * which status the edge refused it with.
   */
  static open(
    platform: Platform,
    url: string,
    protocols: string[],
    port: ChannelPort,
  ): Promise<Channel> {
    return new Promise((resolve, reject) => {
      const socket = platform.socket(url, protocols);
      const fail = (why: string): void => {
        cancel();
        socket.onopen = socket.onclose = null;
        socket.close();
        reject(new EdgeUnreachable(`the edge at ${url} ${why}`));
      };
      const cancel = platform.after(OPEN_MS, () => fail(`did not answer within ${OPEN_MS} ms`));
      socket.onclose = () => fail('refused the connection or cannot be reached');
      socket.onopen = () => {
        cancel();
        socket.onopen = null;
        resolve(new Channel(platform, socket, port));
      };
    });
  }

  /** Sends a message; does nothing once the socket is gone. */
  send(message: ClientMessage): void {
    if (!this.#closed) this.#socket.send(JSON.stringify(message));
  }

  /** Closes the socket without telling the owner. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopPing();
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close(1000);
  }

  #receive(data: unknown): void {
    if (this.#closed) return;
    this.#heardAt = this.#platform.now();
    if (typeof data !== 'string') return;
    const message = parseServerMessage(data);
    if (message && message.type !== 'pong') this.#port.onMessage(message);
  }

  #schedulePing(): void {
    this.#stopPing = this.#platform.after(PING_MS, () => {
      if (this.#platform.now() - this.#heardAt > SILENCE_MS) {
        this.#gone();
        return;
      }
      this.send({ type: 'ping' });
      this.#schedulePing();
    });
  }

  #gone(): void {
    if (this.#closed) return;
    this.close();
    this.#port.onClose();
  }
}
