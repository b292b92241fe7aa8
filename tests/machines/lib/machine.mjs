import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Namespace } from './namespace.mjs';
import { ROOT, SLUICE, WORK } from './places.mjs';
import { Unit } from './unit.mjs';

/** Programs that stand for those of a cloud, by where a machine has them. */
const STAND_INS = join(ROOT, 'tests/machines/stand-ins');

/**
 * What Terraform decided for a machine.
 *
 * @typedef {object} Told
 * @property {{ write_files: { path: string, permissions: string, content: string }[] }} told
 *   its cloud-init
 * @property {{ protocol: string, from: number, to: number, sources: Record<string, string> }[]} rules
 * @property {string} address its public one
 */

/** A machine of a cloud: what it is told, its firewall, and its services. */
export class Machine {
  #internet;
  #address;
  /** @type {Map<string, Unit>} */
  #units = new Map();
  /** @type {string[]} */
  #files = [];

  /**
   * @param {string} name
   * @param {Namespace} host
   * @param {import('./internet.mjs').Internet} internet
   * @param {string} address
   */
  constructor(name, host, internet, address) {
    this.name = name;
    this.host = host;
    this.#internet = internet;
    this.#address = address;
  }

  /**
   * Hires it: it has its files and its firewall, and no secrets yet.
   *
   * @param {string} name
   * @param {Told} told
   * @param {import('./internet.mjs').Internet} internet
   * @param {string} own its address within the cloud
   */
  static async hire(name, told, internet, own) {
    const host = await Namespace.open();
    const machine = new Machine(name, host, internet, told.address);
    await internet.connect(host, own, told.address);
    await machine.#image();
    await machine.tell(told);
    return machine;
  }

  /** What every machine has before it is told anything. */
  async #image() {
    const users = join(WORK, 'users');
    await mkdir(users, { recursive: true });
    await this.host.shell(`
      for folder in /etc/sluice /var/lib/sluice /usr/local/bin /usr/local/lib/sluice /usr/local/share/sluice /run /root; do
        mkdir -p $folder
        mount -t tmpfs none $folder
      done
      for kind in passwd group; do
        grep -v ^sluice: /etc/$kind >${users}/$kind
      done
      echo 'sluice:x:10001:10001::/nonexistent:/usr/sbin/nologin' >>${users}/passwd
      echo 'sluice:x:10001:' >>${users}/group
      mount --bind ${users}/passwd /etc/passwd
      mount --bind ${users}/group /etc/group
      cat /etc/ssl/certs/ca-certificates.crt ${WORK}/ca.pem >/root/authorities
      mount --bind /root/authorities /etc/ssl/certs/ca-certificates.crt
      for program in ${SLUICE} ${STAND_INS}/aws ${STAND_INS}/systemctl; do
        touch /usr/local/bin/$(basename $program)
        mount --bind $program /usr/local/bin/$(basename $program)
      done
      cp ${ROOT}/data/geoip/country.mmdb /usr/local/share/sluice/`);
  }

  /** Puts the files there, and lets in who is let in. @param {Told} told */
  async tell({ told, rules }) {
    // Who is told otherwise is a new machine, which has nothing of the one before but its secrets.
    if (this.#files.length > 0) await this.host.run(['rm', '--', ...this.#files.splice(0)]);
    for (const { path, permissions, content } of told.write_files) {
      const folder = dirname(path);
      // Units are read here, sysctl concerns the whole kernel.
      if (folder === '/etc/systemd/system') {
        const name = path.slice(folder.length + 1).replace(/\.service$/, '');
        this.#units.set(name, new Unit(name, content, this.host, this.name));
      } else if (folder !== '/etc/sysctl.d') {
        this.#files.push(path);
        await this.host.shell(
          `mkdir -p ${folder}; cat >${path}; chmod ${permissions} ${path}`,
          content,
        );
      }
    }
    await this.admit(rules);
  }

  /** @param {Told['rules']} rules */
  async admit(rules) {
    const accepted = rules.flatMap(({ protocol, from, to, sources }) =>
      Object.values(sources).map(
        (source) => `ip saddr ${source} ${protocol} dport ${from}-${to} accept`,
      ),
    );
    await this.host.filter(`
      table inet firewall {}
      delete table inet firewall
      table inet firewall {
        chain input {
          type filter hook input priority filter; policy drop;
          ct state established,related accept
          iif lo accept
          icmp type { destination-unreachable, time-exceeded } accept
          ${accepted.join('\n')}
        }
      }`);
  }

  /** Its main service. @returns {Unit} */
  get service() {
    const unit = [...this.#units.values()].find(({ name }) => name !== 'sluice-secrets');
    if (!unit) throw new Error(`${this.name} has no service`);
    return unit;
  }

  /** Whether it has one. */
  static serves({ told }) {
    return told.write_files.some(({ path }) =>
      /^\/etc\/systemd\/system\/sluice-(?!secrets)/.test(path),
    );
  }

  /** Starts its services, each after those that it requires. */
  async start() {
    for (const name of this.service.requires()) await this.#units.get(name)?.start();
    await this.service.start();
  }

  /** Ends it with all that is on it. */
  async close() {
    for (const unit of this.#units.values()) unit.kill('SIGKILL');
    this.host.close();
    await this.#internet.release(this.#address);
  }
}
