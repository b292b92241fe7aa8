import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { until } from '../../browser/lib/deadline.mjs';
import { run } from './command.mjs';

/** A network and a file system of one host: both are gone when its last process is. */
export class Namespace {
  #holder;

  /** @param {import('node:child_process').ChildProcess} holder */
  constructor(holder) {
    this.#holder = holder;
  }

  static async open() {
    const holder = spawn('unshare', ['--net', '--mount', 'sleep', 'infinity'], { stdio: 'ignore' });
    // What is open at the end is closed with the namespaces of all of these tests.
    holder.unref();
    const namespace = new Namespace(holder);
    await until('a namespace to be there', async () => {
      if (holder.exitCode !== null) throw new Error('the kernel gives no namespace');
      return (await readFile(`/proc/${holder.pid}/comm`, 'utf8')).trim() === 'sleep';
    });
    await namespace.run(['ip', 'link', 'set', 'lo', 'up']);
    return namespace;
  }

  get pid() {
    return this.#holder.pid;
  }

  /** How a program is started in here. @param {string[]} argv */
  command(argv) {
    return ['nsenter', '--target', String(this.pid), '--net', '--mount', '--', ...argv];
  }

  /** As `run` of command.mjs. @param {string[]} argv @param {Parameters<typeof run>[1]} [options] */
  run(argv, options) {
    return run(this.command(argv), options);
  }

  /** @param {string} script @param {string} [input] */
  shell(script, input) {
    return this.run(['sh', '-eu', '-c', script], { input });
  }

  /** Rules for nft, all at once. @param {string} rules */
  async filter(rules) {
    await this.run(['nft', '-f', '-'], { input: rules });
  }

  close() {
    this.#holder.kill('SIGKILL');
  }
}
