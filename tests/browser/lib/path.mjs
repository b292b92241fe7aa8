import { createSocket } from 'node:dgram';

/** How long a packet may wait for its turn before it is dropped. Milliseconds. */
const QUEUE_MS = 150;

/**
 * A way of UDP packets to an edge and back, as narrow as it is told: the last mile of one client.
 * Sources that send to it get a port of their own towards the edge, as behind a NAT.
 */
export class Path {
  #listener = createSocket('udp4');
  #target;
  /** @type {Map<string, import('node:dgram').Socket>} */
  #sources = new Map();
  #bitsPerMs = Infinity;
  #freeAt = 0;
  #lost = 0;
  #chance = 1;
  port = 0;

  /** @param {number} target the edge's port */
  constructor(target) {
    this.#target = target;
  }

  /** @param {import('./mesh.mjs').Edge} edge */
  static async to(edge) {
    // An edge's media port is the one after that of its page.
    const path = new Path(Number(new URL(edge.url).port) + 1);
    await path.#listen();
    return path;
  }

  /** How much it carries towards the client from now on. @param {number} kbps */
  limit(kbps) {
    this.#bitsPerMs = kbps;
    this.#freeAt = performance.now();
  }

  /** Which share of packets towards the client is lost from now on, at random. @param {number} share */
  lose(share) {
    this.#lost = share;
  }

  /** The same in every run: a linear congruential generator (Numerical Recipes). */
  #loses() {
    this.#chance = (Math.imul(this.#chance, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#chance / 2 ** 32 < this.#lost;
  }

  close() {
    this.#listener.close();
    for (const socket of this.#sources.values()) socket.close();
  }

  #listen() {
    this.#listener.on('message', (packet, { port }) => {
      this.#source(port).send(packet, this.#target, '127.0.0.1');
    });
    return new Promise((resolve, reject) => {
      this.#listener.once('error', reject);
      this.#listener.bind(0, '127.0.0.1', () => {
        this.port = this.#listener.address().port;
        resolve(undefined);
      });
    });
  }

  /** @param {number} client */
  #source(client) {
    let socket = this.#sources.get(String(client));
    if (!socket) {
      socket = createSocket('udp4');
      socket.on('message', (packet) => this.#back(packet, client));
      this.#sources.set(String(client), socket);
    }
    return socket;
  }

  /** @param {Buffer} packet @param {number} client */
  #back(packet, client) {
    const send = () => {
      try {
        this.#listener.send(packet, client, '127.0.0.1');
      } catch {
        // It is closed: nobody waits for the packet.
      }
    };
    // Media is lost (RFC 7983: RTP and RTCP begin with two set bits); checks and handshakes are not, so
    // that there is a call to measure.
    if (packet[0] >= 128 && packet[0] < 192 && this.#loses()) return;
    const now = performance.now();
    const start = Math.max(now, this.#freeAt);
    if (start - now > QUEUE_MS) return;
    this.#freeAt = start + (packet.length * 8) / this.#bitsPerMs;
    const wait = this.#freeAt - now;
    if (wait < 1) send();
    else setTimeout(send, wait);
  }
}
