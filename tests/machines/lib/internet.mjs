import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './command.mjs';
import { WORK } from './places.mjs';

/** The way out of every host, and its resolver. */
const GATEWAY = '169.254.1.1';

/** What stands between hosts: a router with a resolver. It is the network namespace of the tests. */
export class Internet {
  #links = 0;
  /** @type {Map<string, string>} */
  #translated = new Map();
  #hosts = join(WORK, 'hosts');
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #resolver;

  async start() {
    await run(['ip', 'link', 'set', 'lo', 'up']);
    await run(['ip', 'address', 'add', `${GATEWAY}/32`, 'dev', 'lo']);
    // Without any route the tests' own requests would fail before addresses are translated.
    await run(['ip', 'route', 'add', 'default', 'dev', 'lo', 'src', GATEWAY]);
    await writeFile('/proc/sys/net/ipv4/ip_forward', '1');
    const resolve = join(WORK, 'resolv.conf');
    await writeFile(resolve, `nameserver ${GATEWAY}\n`);
    // Hosts begin with what is mounted here.
    await run(['mount', '--bind', resolve, '/etc/resolv.conf']);
    await writeFile(this.#hosts, '');
    const log = openSync(join(WORK, 'logs', 'resolver.log'), 'a');
    const child = spawn(
      'dnsmasq',
      [
        ...['--keep-in-foreground', '--user=root', '--pid-file', '--log-facility=-'],
        ...['--bind-interfaces', `--listen-address=${GATEWAY}`, '--no-resolv', '--no-hosts'],
        ...['--local=/example/', '--local-ttl=1', `--addn-hosts=${this.#hosts}`],
      ],
      { stdio: ['ignore', log, log] },
    );
    closeSync(log);
    this.#resolver = child;
  }

  /**
   * Gives a host its way here.
   *
   * @param {import('./namespace.mjs').Namespace} host
   * @param {string} address its own
   * @param {string} [known] the public address that stands for it here, as clouds do it
   */
  async connect(host, address, known) {
    const link = `link${(this.#links += 1)}`;
    await run(['ip', 'link', 'add', 'name', link, 'type', 'veth', 'peer', 'name', `${link}in`]);
    await run(['ip', 'link', 'set', `${link}in`, 'netns', String(host.pid), 'name', 'eth0']);
    await host.shell(`
      ip address add ${address}/32 dev eth0
      ip link set eth0 up
      ip route add default via ${GATEWAY} dev eth0 onlink`);
    await run(['ip', 'link', 'set', link, 'up']);
    await run(['ip', 'route', 'add', `${address}/32`, 'dev', link]);
    if (known && known !== address) {
      this.#translated.set(known, address);
      await this.#translate();
    }
    return link;
  }

  /** Forgets the public address of a host that is gone. @param {string} known */
  async release(known) {
    if (this.#translated.delete(known)) await this.#translate();
  }

  async #translate() {
    const pairs = [...this.#translated];
    const to = pairs.map(([known, own]) => `ip daddr ${known} dnat to ${own}`);
    const from = pairs.map(
      // Within a cloud's own network addresses are what they are.
      ([known, own]) => `ip saddr ${own} ip daddr != 10.0.0.0/8 snat to ${known}
        ip saddr ${own} ct status dnat snat to ${known}`,
    );
    await run(['nft', '-f', '-'], {
      input: `
        table ip clouds {}
        delete table ip clouds
        table ip clouds {
          chain inward { type nat hook prerouting priority dstnat; ${to.join('\n')}
          }
          chain own { type nat hook output priority -100; ${to.join('\n')}
          }
          chain outward { type nat hook postrouting priority srcnat; ${from.join('\n')}
          }
        }`,
    });
  }

  /** What names lead to from now on, as lines of a zone file. @param {string} zone */
  async name(zone) {
    const lines = zone.matchAll(/^(\S+)\. \d+ IN A (\S+)$/gm);
    const hosts = [...lines].map(([, name, address]) => `${address} ${name}\n`);
    await writeFile(this.#hosts, hosts.join(''));
    this.#resolver?.kill('SIGHUP');
  }

  close() {
    this.#resolver?.kill('SIGKILL');
  }
}
