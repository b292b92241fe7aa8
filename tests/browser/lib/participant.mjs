import { COLOURS, nearestColour } from './camera.mjs';
import { openChromium } from './chromium.mjs';
import { openFirefox } from './firefox.mjs';
import { until } from './deadline.mjs';

/** Levels below this are silence; 0 to 1. */
const SILENCE = 0.005;

/**
 * @typedef {object} Seen
 * @property {string} id
 * @property {string} label
 * @property {string} region
 * @property {boolean} hand
 * @property {boolean} muted
 * @property {boolean} self
 */

/** Somebody in a meeting, in a browser of its own. */
export class Participant {
  /** @param {string} name @param {import('./chromium.mjs').Tab} tab */
  constructor(name, tab) {
    this.name = name;
    this.tab = tab;
  }

  /**
   * Joins a meeting without a click.
   *
   * @param {import('./mesh.mjs').Mesh} mesh
   * @param {import('./api.mjs').Meeting} meeting
   * @param {{ name: string, region: string, colour?: string, host?: boolean,
   *   firefox?: boolean | Parameters<typeof openFirefox>[0],
   *   before?: () => void, token?: string, key?: string, audio?: boolean, video?: boolean,
   *   codec?: string, layers?: string, mediaPort?: number, height?: number,
   *   viewport?: { width: number, height: number }, program?: string }} who
   *   `key` encrypts end to end; `audio` and `video` say what is on, `codec` and `layers` how it is
   *   sent; `mediaPort`, `height`, `viewport` and `program` are those of `openChromium`
   */
  static async join(mesh, meeting, who) {
    const participant = await Participant.open(mesh, meeting, who);
    await participant.inState('connected');
    return participant;
  }

  /** As `join`, but does not wait until the participant is in. */
  static async open(mesh, meeting, who) {
    const { name, region, colour = Object.keys(COLOURS)[0], host, token, key } = who;
    const tab = who.firefox ? await openFirefox(who.firefox === true ? {} : who.firefox) : await openChromium(colour, who);
    const { url, client } = mesh.edge(region);
    const query = new URLSearchParams({ name, autojoin: '1' });
    if (client) query.set('as', client);
    if (host) query.set('host_key', meeting.hostKey);
    if (token) query.set('token', token);
    if (who.audio === false) query.set('audio', '0');
    if (who.video === false) query.set('video', '0');
    if (who.codec) query.set('codec', who.codec);
    if (who.layers) query.set('layers', who.layers);
    const path = token ? `/m/${meeting.id}` : `/m/${meeting.id}/${meeting.invite}`;
    await tab.goto(`${url}${path}?${query}${key ? `#key=${key}` : ''}`);
    return new Participant(name, tab);
  }

  /** @param {string} state @param {number} [withinMs] */
  async inState(state, withinMs = 30_000) {
    let seen;
    const ask = async () => {
      seen = await this.tab.evaluate(() => ({
        state: document.documentElement.dataset['state'],
        notice: document.querySelector('[data-testid=notice]')?.textContent ?? '',
      }));
      return seen.state === state;
    };
    await until(`${this.name} to be ${state}`, ask, withinMs).catch((error) => {
      throw new Error(`${error.message}; it is ${JSON.stringify(seen)}`, { cause: error });
    });
  }

  /** Everybody on the stage. @returns {Promise<Seen[]>} */
  sees() {
    return this.tab.evaluate(() =>
      [...document.querySelectorAll('[data-testid=tile]')].map((tile) => ({
        id: tile.dataset['participant'],
        label: tile.getAttribute('aria-label'),
        region: tile.dataset['region'],
        hand: tile.dataset['hand'] === 'true',
        muted: tile.dataset['muted'] === 'true',
        self: tile.dataset['self'] === 'true',
      })),
    );
  }

  /** Somebody's tile, once it is there. @param {string} name @param {number} [withinMs] */
  seesTileOf(name, withinMs) {
    const find = async () => (await this.sees()).find((tile) => tile.label.startsWith(name));
    return until(`${this.name} to see a tile of ${name}`, find, withinMs);
  }

  /** @param {string} name @param {number} [withinMs] */
  async missesTileOf(name, withinMs) {
    const gone = async () => !(await this.sees()).some((tile) => tile.label.startsWith(name));
    await until(`${this.name} to see ${name} no more`, gone, withinMs);
  }

  /**
   * Decodes pictures of somebody until they change, and tells the colour of their corners.
   *
   * @param {string} name
   * @returns {Promise<string>}
   */
  async seesPictureOf(name) {
    const { id } = await this.seesTileOf(name);
    /** @type {Set<number>} */
    const different = new Set();
    let corners = [0, 0, 0];
    await until(`${this.name} to see ${name} move`, async () => {
      const picture = await this.tab.evaluate(look, id);
      if (picture) {
        different.add(picture.hash);
        corners = picture.corners;
      }
      return different.size >= 4;
    });
    return nearestColour(corners);
  }

  /**
   * Watches the pictures of somebody that are shown. Watching begins before this returns; the promise
   * inside tells the longest time without a new one, in milliseconds, and how often there was nothing at
   * all to play.
   *
   * @param {string} name
   * @returns {Promise<() => Promise<{ gapMs: number, blanks: number }>>}
   */
  async watchPicturesOf(name) {
    const { id } = await this.seesTileOf(name);
    await this.tab.evaluate(watchPictures, id);
    return () => this.tab.evaluate((of) => window.picturesSeen[of](), id);
  }

  /** The colour of somebody's picture as it stands; `undefined` when there is none. */
  async glimpseOf(name) {
    const { id } = await this.seesTileOf(name);
    const picture = await this.tab.evaluate(look, id);
    return picture && nearestColour(picture.corners);
  }

  /** Listens to somebody until it is louder than silence. @param {string} name */
  async hears(name) {
    const { id } = await this.seesTileOf(name);
    return until(`${this.name} to hear ${name}`, async () => {
      const level = await this.tab.evaluate(listen, id);
      return level > SILENCE ? level : undefined;
    });
  }

  /** Whether what comes from somebody is silent. @param {string} name */
  async hearsNothingOf(name) {
    const { id } = await this.seesTileOf(name);
    await until(`${this.name} to hear no more of ${name}`, async () => {
      return (await this.tab.evaluate(listen, id)) < SILENCE;
    });
  }

  /**
   * The moment at which somebody's hand is seen up, in milliseconds since 1970. Watching begins
   * before this returns; the moment is in the promise inside.
   *
   * @param {string} name
   */
  async watchHandOf(name) {
    const { id } = await this.seesTileOf(name);
    await this.tab.evaluate((participant) => {
      const tile = document.querySelector(`[data-participant="${participant}"]`);
      new MutationObserver(() => {
        if (tile.dataset['hand'] === 'true') window.handSeenAt ??= Date.now();
      }).observe(tile, { attributes: true });
    }, id);
    return () =>
      until(`${this.name} to see the hand of ${name}`, () =>
        this.tab.evaluate(() => window.handSeenAt),
      );
  }

  /** Presses a button of the page, and tells when. @param {string} testid */
  press(testid) {
    return this.tab.evaluate((wanted) => {
      const at = Date.now();
      document.querySelector(`[data-testid="${wanted}"]`).click();
      return at;
    }, testid);
  }

  async close() {
    // A tab of Chromium that is closed says nothing, and its participant would count for as long as it could come back.
    await this.tab.page?.goto('about:blank').catch(() => {});
    await this.tab.close();
  }
}

/** Runs in the page: one picture of a participant, shrunk. @param {string} id */
function look(id) {
  const video = document.querySelector(`[data-participant="${id}"] video[data-track-id]`);
  if (!video || video.videoWidth === 0) return undefined;
  const canvas = document.createElement('canvas');
  canvas.width = 48;
  canvas.height = 27;
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  let hash = 0;
  for (const value of data) hash = (Math.imul(hash, 31) + value) | 0;
  // The corners that nothing crosses: top right and bottom left.
  const sum = [0, 0, 0];
  let count = 0;
  for (let y = 0; y < 6; y += 1) {
    for (let x = 0; x < 8; x += 1) {
      for (const [px, py] of [
        [47 - x, y],
        [x, 26 - y],
      ]) {
        for (let c = 0; c < 3; c += 1) sum[c] += data[(py * 48 + px) * 4 + c];
        count += 1;
      }
    }
  }
  return { hash, corners: sum.map((value) => value / count) };
}

/**
 * Runs in the page: notes when pictures of a participant are shown, in whichever element that is.
 *
 * @param {string} id
 */
function watchPictures(id) {
  let last = performance.now();
  let longest = 0;
  const note = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  let watched;
  let blanks = 0;
  let blank = false;
  const watch = () => {
    const video = document.querySelector(`[data-participant="${id}"] video[data-track-id]`);
    const plays = video?.srcObject?.getTracks().some((track) => track.readyState === 'live');
    if (!plays && !blank) blanks += 1;
    blank = !plays;
    if (!video || video === watched) return;
    watched = video;
    const next = () =>
      video.requestVideoFrameCallback(() => {
        if (video !== watched) return;
        note();
        next();
      });
    next();
  };
  watch();
  // What changes in between is told too: nothing is missed while the page is busy.
  new MutationObserver(watch).observe(document.body, {
    subtree: true,
    childList: true,
    attributeFilter: ['data-track-id'],
  });
  setInterval(watch, 10);
  window.picturesSeen ??= {};
  window.picturesSeen[id] = () => ({
    gapMs: Math.round(Math.max(longest, performance.now() - last)),
    blanks,
  });
}

/**
 * Runs in the page: the loudness of a participant's sound over a fifth of a second.
 *
 * @param {string} id
 */
async function listen(id) {
  const audio = document.querySelector(`[data-participant="${id}"] audio[data-track-id]`);
  if (!audio?.srcObject) return 0;
  window.earContext ??= new AudioContext();
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  // On a machine without a sound card Firefox's never starts; the decoder's own figure does then.
  await Promise.race([window.earContext.resume(), pause(500)]);
  if (window.earContext.state !== 'running') {
    const { tracks } = await window.sluice.room.stats();
    return tracks.find((one) => one.trackId === audio.dataset['trackId'])?.audioLevel ?? 0;
  }
  const analyser = window.earContext.createAnalyser();
  const source = window.earContext.createMediaStreamSource(audio.srcObject);
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  let loudest = 0;
  for (let i = 0; i < 5; i += 1) {
    await pause(40);
    analyser.getFloatTimeDomainData(samples);
    for (const sample of samples) loudest = Math.max(loudest, Math.abs(sample));
  }
  source.disconnect();
  return loudest;
}
