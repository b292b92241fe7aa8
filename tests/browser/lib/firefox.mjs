import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';
import { within } from './deadline.mjs';

const PREFERENCES = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
  'media.peerconnection.ice.loopback': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  'media.gmp-manager.updateEnabled': false,
  'app.update.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'browser.shell.checkDefaultBrowser': false,
};

const START_MS = 60_000;
const COMMAND_MS = 30_000;

/** WebDriver BiDi (https://w3c.github.io/webdriver-bidi/), as far as a tab needs it. */
class Bidi {
  #socket;
  #next = 1;
  /** @type {Map<number, { resolve: (result: any) => void, reject: (error: Error) => void }>} */
  #pending = new Map();

  /** @param {WebSocket} socket */
  constructor(socket) {
    this.#socket = socket;
    socket.on('message', (text) => {
      const message = JSON.parse(String(text));
      const waiting = this.#pending.get(message.id);
      if (!waiting) return;
      this.#pending.delete(message.id);
      if (message.type === 'error')
        waiting.reject(new Error(`${message.error}: ${message.message}`));
      else waiting.resolve(message.result);
    });
    socket.on('close', () => {
      for (const { reject } of this.#pending.values()) reject(new Error('Firefox is gone'));
      this.#pending.clear();
    });
  }

  /**
   * @param {string} url
   * @param {string} host what Firefox calls itself, and wants to be called
   * @returns {Promise<Bidi>}
   */
  static connect(url, host) {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, { headers: { host } });
      socket.once('open', () => resolve(new Bidi(socket)));
      socket.once('error', reject);
    });
  }

  /** @param {string} method @param {object} params @returns {Promise<any>} */
  send(method, params) {
    const id = this.#next++;
    const answer = new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }));
    this.#socket.send(JSON.stringify({ id, method, params }));
    return within(method, answer, COMMAND_MS);
  }

  close() {
    this.#socket.close();
  }
}

/**
 * A Firefox of its own, with Firefox's own fake camera and microphone.
 *
 * @param {object} [options]
 * @param {(profile: string) => Promise<void>} [options.prepare] adds to the profile before the start
 * @param {string} [options.program] the browser's path
 * @param {(url: URL) => Promise<string>} [options.reach] how its address is reached from here, when it is
 *   another
 * @returns {Promise<import('./chromium.mjs').Tab>}
 */
export async function openFirefox({ prepare, program, reach } = {}) {
  const profile = await mkdtemp(join(tmpdir(), 'sluice-firefox-'));
  const lines = Object.entries(PREFERENCES).map(
    ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`,
  );
  await writeFile(join(profile, 'user.js'), lines.join('\n'));
  await prepare?.(profile);
  const child = spawn(
    program ?? process.env.FIREFOX_BIN ?? '/usr/bin/firefox-esr',
    ['--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', '0'],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: profile } },
  );
  process.once('exit', () => child.kill('SIGKILL'));
  const gone = new Promise((resolve) => child.once('exit', resolve));
  const end = async () => {
    child.kill('SIGKILL');
    await gone;
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const url = new URL(`${await listening(child)}/session`);
    const bidi = await Bidi.connect(reach ? await reach(url) : url.href, url.host);
    await bidi.send('session.new', { capabilities: {} });
    const { contexts } = await bidi.send('browsingContext.getTree', {});
    return tab(bidi, contexts[0].context, end);
  } catch (error) {
    await end();
    throw error;
  }
}

/** @param {import('node:child_process').ChildProcess} child @returns {Promise<string>} */
function listening(child) {
  const heard = new Promise((resolve, reject) => {
    let text = '';
    child.stderr?.setEncoding('utf8');
    child.stderr?.on('data', (more) => {
      text += more;
      const found = /WebDriver BiDi listening on (ws:\/\/\S+)/.exec(text);
      if (found) resolve(found[1]);
    });
    child.once('exit', () => reject(new Error(`Firefox ended by itself:\n${text}`)));
  });
  return within('Firefox to listen', heard, START_MS);
}

/**
 * @param {Bidi} bidi
 * @param {string} context
 * @param {() => Promise<void>} end
 * @returns {import('./chromium.mjs').Tab}
 */
function tab(bidi, context, end) {
  const evaluate = async (code, argument) => {
    const { result, exceptionDetails } = await bidi.send('script.callFunction', {
      // JSON both ways, so that a result needs no knowledge of BiDi's own encoding.
      functionDeclaration: `async (json) => JSON.stringify(await (${code})(json && JSON.parse(json)) ?? null)`,
      arguments: [{ type: 'string', value: JSON.stringify(argument ?? null) }],
      target: { context },
      awaitPromise: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.text);
    return JSON.parse(result.value);
  };
  return {
    goto: (url) => bidi.send('browsingContext.navigate', { context, url, wait: 'complete' }),
    evaluate,
    click: (selector) => evaluate((wanted) => document.querySelector(wanted)?.click(), selector),
    kill: end,
    close: async () => {
      bidi.close();
      await end();
    },
  };
}
