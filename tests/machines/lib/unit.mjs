import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { within } from '../../browser/lib/deadline.mjs';
import { WORK } from './places.mjs';

/** Settings of a unit: all values of each key. @typedef {Map<string, string[]>} Settings */

/** @param {string} text @returns {Settings} */
function parse(text) {
  const settings = new Map();
  for (const line of text.replaceAll('\\\n', ' ').split('\n')) {
    const [, key, value] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? [];
    if (key) settings.set(key, [...(settings.get(key) ?? []), value]);
  }
  return settings;
}

/**
 * Does with a systemd unit what systemd would, as far as the units of these machines go: users,
 * capabilities, folders, environment, what runs before, and how it is ended. A service that ends by
 * itself is not started again: here that is a fault.
 */
export class Unit {
  #host;
  #settings;
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #child;
  #stopping = false;

  /**
   * @param {string} name
   * @param {string} text
   * @param {import('./namespace.mjs').Namespace} host
   * @param {string} machine
   */
  constructor(name, text, host, machine) {
    this.name = name;
    this.machine = machine;
    this.#host = host;
    this.#settings = parse(text);
    this.log = join(WORK, 'logs', `${machine}-${name}.log`);
  }

  #one(key, otherwise = '') {
    return this.#settings.get(key)?.at(-1) ?? otherwise;
  }

  /** The units that have to be up before. */
  requires() {
    const words = (this.#settings.get('Requires') ?? []).flatMap((line) => line.split(' '));
    return words.map((word) => word.replace(/\.service$/, ''));
  }

  async start() {
    const user = this.#one('User', 'root');
    for (const [key, parent] of [
      ['RuntimeDirectory', '/run'],
      ['StateDirectory', '/var/lib'],
    ]) {
      const folder = this.#one(key);
      if (!folder) continue;
      const mode = this.#one(`${key}Mode`, '0755');
      await this.#host.run([
        ...['install', '-d', '-o', user, '-g', user, '-m', mode, `${parent}/${folder}`],
      ]);
    }
    const environment = await this.#environment();
    for (const line of this.#settings.get('ExecStartPre') ?? []) {
      await this.#host.run(this.#command(line, environment));
    }
    const command = this.#command(this.#one('ExecStart'), environment);
    if (this.#one('Type') === 'oneshot') {
      await this.#host.run(command);
      return;
    }
    const [program = '', ...rest] = this.#host.command(command);
    const log = openSync(this.log, 'a');
    const child = spawn(program, rest, { stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    this.#stopping = false;
    child.once('exit', (code, signal) => {
      if (!this.#stopping) console.error(`${this.machine}: ${this.name} ended: ${code ?? signal}`);
    });
  }

  /** Whether it runs. */
  get runs() {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  /** As `systemctl stop`: the process has to end by itself within the time it is given. */
  async stop() {
    const child = this.#child;
    if (!child || !this.runs) return;
    this.#stopping = true;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    const signal = /** @type {NodeJS.Signals} */ (this.#one('KillSignal', 'SIGTERM'));
    child.kill(signal);
    const patience = Number(this.#one('TimeoutStopSec', '90')) * 1_000;
    try {
      await within(`${this.machine}: ${this.name} to end`, gone, patience);
    } finally {
      child.kill('SIGKILL');
    }
  }

  /** As `systemctl kill -s SIGNAL`. @param {NodeJS.Signals} signal */
  kill(signal) {
    this.#stopping = true;
    this.#child?.kill(signal);
  }

  /** The command of a line of the unit, as its user with no more rights than it says. */
  #command(/** @type {string} */ line, /** @type {string[]} */ environment) {
    const user = this.#one('User');
    const capabilities = (this.#settings.get('AmbientCapabilities') ?? [])
      .flatMap((words) => words.split(' '))
      .map((word) => `+${word.replace(/^CAP_/, '').toLowerCase()}`)
      .join(',');
    const rights = user
      ? [
          ...[`--reuid=${user}`, `--regid=${this.#one('Group', user)}`, '--clear-groups'],
          ...(capabilities
            ? [`--inh-caps=-all,${capabilities}`, `--ambient-caps=-all,${capabilities}`]
            : []),
          ...[`--bounding-set=-all${capabilities && `,${capabilities}`}`, '--no-new-privs'],
        ]
      : [];
    return [
      ...['env', '-i', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      ...environment,
      ...['setpriv', ...rights, '--pdeathsig', 'KILL', ...line.trim().split(/\s+/)],
    ];
  }

  async #environment() {
    const unquoted = (/** @type {string} */ word) => word.replace(/^"(.*)"$/, '$1');
    const set = (this.#settings.get('Environment') ?? []).map(unquoted);
    for (const path of this.#settings.get('EnvironmentFile') ?? []) {
      const text = await this.#host.run(['cat', path]);
      set.push(...text.split('\n').filter((line) => /^\w+=/.test(line)));
    }
    return set;
  }

  /** What it has said so far. */
  said() {
    return readFile(this.log, 'utf8');
  }
}
