import { createHash, createHmac, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { within } from '../../browser/lib/deadline.mjs';
import { WORK } from './places.mjs';

/** RFC 8489 and RFC 8656: methods, attributes. */
const ALLOCATE = 0x003;
const CREATE_PERMISSION = 0x008;
const ERROR = 0x110;
const USERNAME = 0x0006;
const MESSAGE_INTEGRITY = 0x0008;
const ERROR_CODE = 0x0009;
const XOR_PEER_ADDRESS = 0x0012;
const REALM = 0x0014;
const NONCE = 0x0015;
const XOR_RELAYED_ADDRESS = 0x0016;
const REQUESTED_TRANSPORT = 0x0019;
const COOKIE = Buffer.from([0x21, 0x12, 0xa4, 0x42]);
const HEADER_BYTES = 20;

const ANSWER_MS = 10_000;

/** A client of TURN over TLS, to ask what a browser cannot be made to ask. */
export class TurnClient {
  #socket;
  #proof;
  #heard = Buffer.alloc(0);
  /** @type {(message: Buffer) => void} */
  #answered = () => {};
  /** @type {[number, Buffer][]} */
  #identity = [];
  #key = Buffer.alloc(0);

  /**
   * @param {import('node:tls').TLSSocket} socket
   * @param {{ username: string, credential: string }} proof
   */
  constructor(socket, proof) {
    this.#socket = socket;
    this.#proof = proof;
    socket.on('data', (bytes) => this.#hear(bytes));
  }

  /** @param {{ host: string, port: number }} server @param {{ username: string, credential: string }} proof */
  static async connect({ host, port }, proof) {
    const ca = await readFile(join(WORK, 'ca.pem'));
    const socket = connect({ host, port, servername: host, ca });
    const connected = new Promise((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
    });
    await within(`TLS to ${host}`, connected, ANSWER_MS);
    return new TurnClient(socket, proof);
  }

  /** @returns {Promise<{ address: string }>} */
  async allocate() {
    const transport = /** @type {[number, Buffer]} */ ([REQUESTED_TRANSPORT, Buffer.from([17, 0, 0, 0])]);
    const challenge = await this.#ask(ALLOCATE, [transport]);
    const realm = challenge.get(REALM);
    const nonce = challenge.get(NONCE);
    if (!realm || !nonce) throw new Error(`no challenge: ${reason(challenge)}`);
    const { username, credential } = this.#proof;
    this.#key = createHash('md5').update(`${username}:${realm}:${credential}`).digest();
    this.#identity = [
      [USERNAME, Buffer.from(username)],
      [REALM, realm],
      [NONCE, nonce],
    ];
    const answer = await this.#ask(ALLOCATE, [transport]);
    const relayed = answer.get(XOR_RELAYED_ADDRESS);
    if (!relayed) throw new Error(reason(answer));
    return { address: [...relayed.subarray(4, 8)].map((byte, i) => byte ^ (COOKIE[i] ?? 0)).join('.') };
  }

  /** Asks to exchange packets with a peer: `permitted`, or the code of the error. @param {string} address */
  async permit(address) {
    const bytes = address.split('.').map((byte, i) => Number(byte) ^ (COOKIE[i] ?? 0));
    const peer = Buffer.from([0, 1, 0, 0, ...bytes]);
    const answer = await this.#ask(CREATE_PERMISSION, [[XOR_PEER_ADDRESS, peer]]);
    return answer.get(ERROR_CODE) ? reason(answer).slice(0, 3) : 'permitted';
  }

  close() {
    this.#socket.destroy();
  }

  /** @param {number} method @param {[number, Buffer][]} attributes */
  async #ask(method, attributes) {
    const id = randomBytes(12);
    const body = [...attributes, ...this.#identity].map(([kind, value]) => attribute(kind, value));
    const sealed = this.#key.length > 0;
    const length = body.reduce((sum, { length }) => sum + length, 0) + (sealed ? 24 : 0);
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt16BE(method, 0);
    header.writeUInt16BE(length, 2);
    COOKIE.copy(header, 4);
    id.copy(header, 8);
    let message = Buffer.concat([header, ...body]);
    if (sealed) {
      const seal = createHmac('sha1', this.#key).update(message).digest();
      message = Buffer.concat([message, attribute(MESSAGE_INTEGRITY, seal)]);
    }
    const answer = new Promise((resolve) => {
      this.#answered = (heard) => {
        if (heard.subarray(8, HEADER_BYTES).equals(id)) resolve(heard);
      };
    });
    this.#socket.write(message);
    return attributesOf(await within('TURN to answer', answer, ANSWER_MS));
  }

  /** @param {Buffer} bytes */
  #hear(bytes) {
    this.#heard = Buffer.concat([this.#heard, bytes]);
    while (this.#heard.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + this.#heard.readUInt16BE(2);
      if (this.#heard.length < end) return;
      this.#answered(this.#heard.subarray(0, end));
      this.#heard = this.#heard.subarray(end);
    }
  }
}

/** @param {number} kind @param {Buffer} value */
function attribute(kind, value) {
  const bytes = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
  bytes.writeUInt16BE(kind, 0);
  bytes.writeUInt16BE(value.length, 2);
  value.copy(bytes, 4);
  return bytes;
}

/** @param {Buffer} message */
function attributesOf(message) {
  const found = new Map();
  for (let at = HEADER_BYTES; at < message.length; ) {
    const length = message.readUInt16BE(at + 2);
    found.set(message.readUInt16BE(at), message.subarray(at + 4, at + 4 + length));
    at += 4 + Math.ceil(length / 4) * 4;
  }
  if ((message.readUInt16BE(0) & ERROR) === ERROR && !found.has(ERROR_CODE)) {
    throw new Error('an error without a code');
  }
  return found;
}

/** @param {Map<number, Buffer>} answer */
function reason(answer) {
  const error = answer.get(ERROR_CODE);
  if (!error) return 'no reason';
  return `${(error[2] ?? 0) * 100 + (error[3] ?? 0)} ${error.subarray(4)}`;
}
