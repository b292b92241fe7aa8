import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Participant } from '../../browser/lib/participant.mjs';
import { run } from './command.mjs';
import { Namespace } from './namespace.mjs';
import { WORK } from './places.mjs';

const INSIDE = '192.168.1';

/** What networks let out, as rules of nft. */
const LETS_OUT = {
  everything: 'accept',
  /** Nothing but web pages, and questions of names. */
  web: 'udp dport 53 accept; tcp dport { 80, 443 } accept',
};

/** Somebody's computer behind a NAT, with a browser. */
export class Client {
  #nat;
  /** Ways to its Firefoxes. @type {import('node:child_process').ChildProcess[]} */
  #ways = [];

  /** @param {string} name @param {Namespace} host @param {Namespace} nat */
  constructor(name, host, nat) {
    this.name = name;
    this.host = host;
    this.#nat = nat;
  }

  /**
   * @param {string} name
   * @param {import('./internet.mjs').Internet} internet
   * @param {{ address: string, letsOut: keyof typeof LETS_OUT }} network `address` is that of the
   *   NAT on the internet
   */
  static async connect(name, internet, { address, letsOut }) {
    const [nat, host] = await Promise.all([Namespace.open(), Namespace.open()]);
    const client = new Client(name, host, nat);
    await internet.connect(nat, address);
    await run(['ip', 'link', 'add', 'name', 'home', 'type', 'veth', 'peer', 'name', 'homein']);
    await run(['ip', 'link', 'set', 'home', 'netns', String(nat.pid), 'name', 'home']);
    await run(['ip', 'link', 'set', 'homein', 'netns', String(host.pid), 'name', 'eth0']);
    await nat.shell(`
      ip address add ${INSIDE}.1/24 dev home
      ip link set home up
      echo 1 >/proc/sys/net/ipv4/ip_forward`);
    await nat.filter(`
      table inet home {
        counter refused_udp {}
        counter passed_udp {}
        chain out { type filter hook forward priority filter; policy drop;
          meta l4proto udp udp dport != 53 iifname home jump udp_out
          ct state established,related accept
          iifname home jump lets_out
        }
        chain udp_out { ${letsOut === 'web' ? 'counter name refused_udp drop' : 'counter name passed_udp'}; }
        chain lets_out { ${LETS_OUT[letsOut]}; }
        chain hide { type nat hook postrouting priority srcnat; oifname eth0 masquerade; }
      }`);
    await host.shell(`
      ip address add ${INSIDE}.2/24 dev eth0
      ip link set eth0 up
      ip route add default via ${INSIDE}.1`);
    await client.#install();
    return client;
  }

  /** Browsers that trust the authority of public names. */
  async #install() {
    const home = join(WORK, 'clients', this.name);
    await trust(join(home, '.pki/nssdb'));
    for (const [name, environment] of [
      ['chromium', [`HOME=${home}`]],
      ['firefox-esr', []],
    ]) {
      const command = this.host.command(['env', ...environment, `/usr/bin/${name}`]);
      const script = `#!/bin/sh\nexec ${command.join(' ')} "$@"\n`;
      await writeFile(join(home, name), script, { mode: 0o755 });
    }
  }

  /** A file of this client's own. @param {string} name */
  #path(name) {
    return join(WORK, 'clients', this.name, name);
  }

  /** How a Firefox is opened here. */
  #firefox() {
    return {
      program: this.#path('firefox-esr'),
      prepare: (/** @type {string} */ profile) => trust(profile),
      // It listens on this host's loopback: what comes to a socket of files goes there.
      reach: async (/** @type {URL} */ { port, pathname }) => {
        const socket = this.#path(`bidi-${port}`);
        const listener = 'require("net").createServer((one) => one.pipe(require("net").connect(' +
          `${port}, "127.0.0.1")).pipe(one)).listen("${socket}", () => console.log("listening"))`;
        const [program = '', ...rest] = this.host.command([process.execPath, '-e', listener]);
        const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
        this.#ways.push(child);
        await new Promise((resolve) => child.stdout.once('data', resolve));
        return `ws+unix:${socket}:${pathname}`;
      },
    };
  }

  /**
   * Opens a meeting's link and joins, for the rest of a test.
   *
   * @param {import('node:test').TestContext} t
   * @param {import('../../browser/lib/api.mjs').Meeting} meeting
   * @param {{ colour?: string, before?: () => void, firefox?: boolean }} who
   */
  async join(t, meeting, who) {
    const page = { edge: () => ({ url: new URL(meeting.url).origin }) };
    const participant = await Participant.open(page, meeting, {
      name: this.name,
      program: this.#path('chromium'),
      ...who,
      ...(who.firefox && { firefox: this.#firefox() }),
    });
    t.after(() => participant.close());
    await participant.inState('connected', 60_000);
    return participant;
  }

  /** Packets of UDP that the NAT has let out, or refused, questions of names aside. */
  async udp() {
    const { nftables } = JSON.parse(await this.#nat.run(['nft', '-j', 'list', 'counters']));
    const packets = (/** @type {string} */ name) =>
      nftables.find(({ counter }) => counter?.name === name).counter.packets;
    return { passed: packets('passed_udp'), refused: packets('refused_udp') };
  }

  close() {
    for (const way of this.#ways) way.kill('SIGKILL');
    this.host.close();
    this.#nat.close();
  }
}

/** Makes the authority of public names one that a browser trusts. @param {string} store */
async function trust(store) {
  await mkdir(store, { recursive: true });
  await run(['certutil', '-N', '-d', `sql:${store}`, '--empty-password']);
  const authority = ['-n', 'names', '-t', 'C,,', '-i', join(WORK, 'ca.pem')];
  await run(['certutil', '-A', '-d', `sql:${store}`, ...authority]);
}

/**
 * How a participant's media goes: the pair of candidates that its browser chose.
 *
 * @param {Participant} participant
 * @returns {Promise<{ kind: string, protocol: string, relayProtocol?: string, url?: string,
 *   remote: string } | undefined>}
 */
export function way(participant) {
  return participant.tab.evaluate(async () => {
    const all = new Map([...(await window.peer.getStats())]);
    const transport = [...all.values()].find(({ type }) => type === 'transport');
    const pair = all.get(transport?.selectedCandidatePairId);
    if (!pair) return undefined;
    const local = all.get(pair.localCandidateId);
    const remote = all.get(pair.remoteCandidateId);
    return {
      kind: local.candidateType,
      protocol: local.protocol,
      relayProtocol: local.relayProtocol,
      url: local.url,
      remote: `${remote.address}:${remote.port}`,
    };
  });
}
