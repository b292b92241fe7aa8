import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { fakeDevices } from './camera.mjs';

const FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  '--autoplay-policy=no-user-gesture-required',
  '--allow-loopback-in-peer-connection',
];

/** Runs in the page: remembers its peer connections. */
function keepPeers() {
  window.peers = 0;
  const Peer = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Peer {
    constructor(configuration) {
      super(configuration);
      window.peers += 1;
      window.peer = this;
    }
  };
}

/** Runs in the page: the edge's only candidate is a UDP port of this machine. */
function leadMediaTo(port) {
  const { prototype } = window.RTCPeerConnection;
  const { setRemoteDescription } = prototype;
  prototype.setRemoteDescription = function ({ type, sdp }) {
    const lines = sdp.split('\r\n').filter((line) => !line.startsWith('a=candidate:'));
    const at = lines.findIndex((line) => line.startsWith('a=ice-ufrag:'));
    lines.splice(at, 0, `a=candidate:1 1 udp 2130706431 127.0.0.1 ${port} typ host`);
    return setRemoteDescription.call(this, { type, sdp: lines.join('\r\n') });
  };
}

/**
 * A tab of a browser.
 *
 * @typedef {object} Tab
 * @property {(url: string) => Promise<void>} goto
 * @property {<A, T>(code: (argument: A) => T | Promise<T>, argument?: A) => Promise<T>} evaluate
 *   runs a function in the page; it and what it takes and gives must stand for themselves
 * @property {(selector: string) => Promise<void>} click
 * @property {() => Promise<void>} kill ends the tab's process without a word to anybody
 * @property {() => Promise<void>} close
 */

/**
 * A Chromium of its own, with a camera and microphone of its own.
 *
 * @param {string} colour the identity that its camera shows
 * @param {object} [options]
 * @param {() => void} [options.before] runs in the page before anything else does
 * @param {number} [options.mediaPort] where media goes to and comes from, in the edge's place
 * @param {number} [options.height] of the camera's picture, in pixels
 * @param {{ width: number, height: number }} [options.viewport] of the page, in pixels
 * @param {string} [options.program] the browser's path
 * @returns {Promise<Tab & { page: import('playwright-core').Page }>}
 */
export async function openChromium(colour, { before, mediaPort, height, viewport, program } = {}) {
  const { video, audio } = await fakeDevices(colour, height);
  const profile = await mkdtemp(join(tmpdir(), 'sluice-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: program ?? process.env.CHROMIUM_BIN ?? '/usr/bin/chromium',
    ignoreDefaultArgs: ['--mute-audio'],
    args: [
      ...FLAGS,
      `--use-file-for-fake-video-capture=${video}`,
      `--use-file-for-fake-audio-capture=${audio}`,
    ],
    viewport: viewport ?? { width: 1000, height: 640 },
  });
  const page = context.pages()[0] ?? (await context.newPage());
  await page.addInitScript(keepPeers);
  if (mediaPort) await page.addInitScript(leadMediaTo, mediaPort);
  if (before) await page.addInitScript(before);
  return {
    page,
    goto: async (url) => {
      await page.goto(url);
    },
    evaluate: (code, argument) => page.evaluate(code, argument),
    click: (selector) => page.click(selector),
    kill: async () => {
      // The navigation never ends: the process that should say so is gone.
      page.goto('chrome://crash').catch(() => {});
      await new Promise((resolve) => page.once('crash', resolve));
    },
    close: async () => {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}
