// How soon a newcomer sees somebody, with the latest key frame replayed and with the publisher asked
// for one: `npm run first-frame`. It prints JSON lines; docs/BENCHMARKS.md has what they said.

import { createMeeting } from './lib/api.mjs';
import { openChromium } from './lib/chromium.mjs';
import { until } from './lib/deadline.mjs';
import { received, watched, watchFrames } from './lib/figures.mjs';
import { Mesh } from './lib/mesh.mjs';
import { Participant } from './lib/participant.mjs';

const JOINS = Number(process.env.JOINS ?? 20);

/** How many browsers join together, and how long after one another. Milliseconds. */
const TOGETHER = 3;
const APART_MS = 150;

/** How long nobody joins, to see what the publisher does by itself. Milliseconds. */
const IDLE_MS = 5_000;

/** How long a newcomer is looked at. Milliseconds. */
const WATCHED_MS = 2_500;

/** Runs in the newcomer's page: notes when media may flow, and what then comes. */
function note() {
  const notes = { connected: 0, first: 0, firstHeight: 0, fullAt: 0, shown: [], bytes: [] };
  window.notes = notes;
  const timer = setInterval(async () => {
    const { peer } = window;
    if (!notes.connected && peer?.connectionState === 'connected') notes.connected = performance.now();
    const video = document.querySelector('video[data-track-id]:not([data-noted])');
    if (video && document.querySelectorAll('[data-noted]').length === 0) {
      video.dataset.noted = '1';
      const shown = (now, { height, rtpTimestamp }) => {
        notes.first ||= now;
        notes.firstHeight ||= height;
        if (height >= 540) notes.fullAt ||= now;
        notes.shown.push({ now, rtpTimestamp });
        video.requestVideoFrameCallback(shown);
      };
      video.requestVideoFrameCallback(shown);
    }
    if (!peer || notes.ended) return;
    let bytes = 0;
    for (const entry of (await peer.getStats()).values()) {
      if (entry.type === 'inbound-rtp' && entry.kind === 'video') {
        bytes += entry.bytesReceived ?? 0;
        notes.freezes = entry.freezeCount ?? 0;
        notes.frozenMs = Math.round((entry.totalFreezesDuration ?? 0) * 1000);
        notes.dropped = entry.framesDropped ?? 0;
      }
    }
    notes.bytes.push({ at: performance.now(), bytes });
  }, 20);
  window.endNotes = () => {
    notes.ended = true;
    clearInterval(timer);
    return notes;
  };
}

const quantile = (values, share) =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];

/** The most that came within a quarter of a second, in kilobytes. */
function burst(samples) {
  let most = 0;
  for (const { at, bytes } of samples) {
    const before = samples.findLast((one) => one.at <= at - 250)?.bytes ?? 0;
    most = Math.max(most, bytes - before);
  }
  return most / 1_000;
}

function summary(all) {
  const of = (pick) => all.map(pick);
  const round = (value) => Math.round(value);
  const both = (values) => ({ p50: round(quantile(values, 0.5)), p95: round(quantile(values, 0.95)) });
  const gap = ({ shown }) =>
    Math.max(0, ...shown.slice(1).map((frame, i) => frame.now - shown[i].now));
  return {
    joins: all.length,
    firstFrameMs: both(of((one) => one.first - one.connected)),
    fullSizeMs: both(of((one) => (one.fullAt || Infinity) - one.connected)),
    firstHeights: [...new Set(of((one) => one.firstHeight))],
    burstKb: both(of((one) => burst(one.bytes))),
    longestGapMs: both(of(gap)),
    freezes: of((one) => one.freezes).reduce((a, b) => a + b, 0),
    frozenMs: of((one) => one.frozenMs).reduce((a, b) => a + b, 0),
    dropped: both(of((one) => one.dropped)),
  };
}

async function keyFrames(publisher) {
  return publisher.tab.evaluate(async () => {
    let sum = 0;
    for (const entry of (await window.peer.getStats()).values()) {
      if (entry.type === 'outbound-rtp' && entry.kind === 'video') sum += entry.keyFramesEncoded ?? 0;
    }
    return sum;
  });
}

/** Newcomers, so many at once, in a room where others watch already. */
async function measure(mesh, meeting, others, together) {
  const { ada, bo } = others;
  const { url, client } = mesh.edge('paris');
  const viewport = { width: 1500, height: 700 };
  const tabs = [];
  while (tabs.length < together) tabs.push(await openChromium('blue', { before: note, viewport }));
  const idle = { keys: await keyFrames(ada), at: performance.now() };
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  const before = { keys: await keyFrames(ada), at: performance.now(), ...(await received(bo, 'Ada')) };
  await watchFrames(bo, 'Ada');
  const all = [];
  while (all.length < JOINS) {
    const rounds = await Promise.all(
      tabs.map(async ({ page }, place) => {
        await new Promise((resolve) => setTimeout(resolve, place * APART_MS));
        const query = `name=N${place}&as=${client}&autojoin=1&audio=0&video=0`;
        await page.goto(`${url}/m/${meeting.id}/${meeting.invite}?${query}`);
        await until('a first frame', () => page.evaluate(() => window.notes.first > 0), 30_000);
        await new Promise((resolve) => setTimeout(resolve, WATCHED_MS));
        const notes = await page.evaluate(() => window.endNotes());
        await page.goto('about:blank');
        return notes;
      }),
    );
    all.push(...rounds);
    // What is over lies out of everybody's memory.
    await new Promise((resolve) => setTimeout(resolve, 1_500 + Math.random() * 500));
  }
  const minutes = (performance.now() - before.at) / 60_000;
  const { takenGapMs, shownGapMs } = await watched(bo);
  const after = await received(bo, 'Ada');
  for (const tab of tabs) await tab.close();
  return {
    ...summary(all),
    idleKeyFramesPerMinute: Math.round(((before.keys - idle.keys) * 60_000) / (before.at - idle.at)),
    keyFramesPerMinute: Math.round(((await keyFrames(ada)) - before.keys) / minutes),
    perJoin: Number((((await keyFrames(ada)) - before.keys) / all.length).toFixed(2)),
    other: { takenGapMs, shownGapMs, freezes: after.freezes - before.freezes },
  };
}

for (const from of ['paris', 'singapore']) {
  for (const replay of ['true', 'false']) {
    const mesh = await Mesh.start({ wan: true, env: { SLUICE_REPLAY: replay } });
    const guests = [];
    try {
      const meeting = await createMeeting(mesh);
      const viewport = { width: 1500, height: 700 };
      const ada = await Participant.join(mesh, meeting, {
        ...{ name: 'Ada', region: from, colour: 'red', height: 540 },
      });
      guests.push(ada);
      const bo = await Participant.join(mesh, meeting, {
        ...{ name: 'Bo', region: 'paris', audio: false, video: false, viewport },
      });
      guests.push(bo);
      await until('Bo to get all lines', async () => (await received(bo, 'Ada')).height === 540, 30_000);
      for (const together of [1, TOGETHER]) {
        const figures = await measure(mesh, meeting, { ada, bo }, together);
        console.log(JSON.stringify({ from, replay, together, ...figures }));
      }
    } finally {
      for (const guest of guests) await guest.close();
      await mesh.stop();
    }
  }
}
process.exit(0);
