import { spawn } from 'node:child_process';

/**
 * Runs a program to its end and gives what it printed.
 *
 * @param {string[]} argv
 * @param {{ input?: string, cwd?: string, env?: NodeJS.ProcessEnv, status?: number }} [options]
 *   `status` is the one with which it has to end
 * @returns {Promise<string>}
 */
export function run(argv, { input, cwd, env, status = 0 } = {}) {
  const [program = '', ...rest] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (err += text));
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === status) resolve(out);
      else reject(new Error(`${argv.join(' ')}: ${code ?? signal}\n${out}${err}`));
    });
    // Who does not read its input has no use for it.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}
