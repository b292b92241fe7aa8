import { spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './deadline.mjs';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

/** Where a development mesh's coordinator always is. */
const COORDINATOR = 'http://127.0.0.1:7400';

/** Five regions on three continents; Paris and Singapore have no link of their own. */
const REGIONS = ['paris', 'frankfurt', 'mumbai', 'singapore', 'virginia'];

/** As short as a topology allows, so that a token can be seen to end. Seconds. */
export const JOIN_TOKEN_S = 30;

/**
 * @typedef {object} Edge
 * @property {string} edge its id
 * @property {string} region
 * @property {string} url
 * @property {string} client an address of that region
 * @property {number} pid its process
 */

/** The program under test. */
export function binary() {
  return resolve(process.env.SLUICE_BIN ?? join(ROOT, 'target/debug/sluice'));
}

/** A mesh on loopback, as `sluice dev` starts it. */
export class Mesh {
  /** @type {import('node:child_process').ChildProcess} */
  #child;
  #dir;
  #output = '';
  /** @type {Edge[]} */
  edges = [];
  coordinator = '';

  /** @param {import('node:child_process').ChildProcess} child @param {string} dir */
  constructor(child, dir) {
    this.#child = child;
    this.#dir = dir;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8');
      stream?.on('data', (text) => (this.#output = (this.#output + text).slice(-20_000)));
    }
  }

  /**
   * Starts a mesh and waits until a call would succeed.
   *
   * @param {{ wan?: boolean, env?: Record<string, string> }} [options] `wan` gives the links the delays
   *   that the topology declares; `env` configures the edges
   */
  static async start({ wan = false, env = {} } = {}) {
    if (!existsSync(binary())) throw new Error(`${binary()} is missing: cargo build --bin sluice`);
    if (await isTaken())
      throw new Error(`something listens at ${COORDINATOR} already: end it first`);
    const dir = await mkdtemp(join(tmpdir(), 'sluice-browser-'));
    await shortTokens(dir);
    const ready = join(dir, 'ready.json');
    const child = spawn(
      binary(),
      [
        ...['dev', '--topology', dir, '--regions', REGIONS.join()],
        ...['--ready-file', ready, '--logs', dir],
        ...(wan ? ['--wan'] : []),
      ],
      { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } },
    );
    const mesh = new Mesh(child, dir);
    process.once('exit', () => child.kill('SIGKILL'));
    try {
      await until('the mesh to be ready', () => mesh.#isReady(ready), 90_000);
    } catch (error) {
      await mesh.stop();
      throw new Error(`${error.message}\n${mesh.#output}`, { cause: error });
    }
    return mesh;
  }

  /** Ends the mesh and everything that it started. */
  async stop() {
    const child = this.#child;
    if (child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGINT');
      const kill = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await gone;
      clearTimeout(kill);
    }
    if (process.env.SLUICE_KEEP_LOGS) console.error(`logs: ${this.#dir}`);
    else await rm(this.#dir, { recursive: true, force: true });
  }

  /** @param {string} region @returns {Edge} */
  edge(region) {
    const edge = this.edges.find((one) => one.region === region);
    if (!edge) throw new Error(`no edge in ${region}; there are ${REGIONS.join(', ')}`);
    return edge;
  }

  /** @param {string} ready */
  async #isReady(ready) {
    if (this.#child.exitCode !== null) throw new Error('sluice dev ended by itself');
    if (!existsSync(ready)) return false;
    // The file may be half written.
    const text = await readFile(ready, 'utf8');
    if (!text.endsWith('}')) return false;
    Object.assign(this, JSON.parse(text));
    return true;
  }
}

/** Whether another mesh runs on this machine. @returns {Promise<boolean>} */
function isTaken() {
  return fetch(`${COORDINATOR}/healthz`).then(
    () => true,
    () => false,
  );
}

/** The repository's own topology, with tokens that end soon. @param {string} dir */
async function shortTokens(dir) {
  await cp(join(ROOT, 'regions'), join(dir, 'regions'), { recursive: true });
  const topology = await readFile(join(ROOT, 'topology.toml'), 'utf8');
  const short = topology.replace(/^join_token_s = \d+$/m, `join_token_s = ${JOIN_TOKEN_S}`);
  if (short === topology) throw new Error('topology.toml has no join_token_s');
  await writeFile(join(dir, 'topology.toml'), short);
}
