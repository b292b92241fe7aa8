/**
 * What the browser says of pictures on their way: `getStats` of both ends, and when frames are
 * shown.
 */

/**
 * @typedef {object} Sent
 * @property {boolean} active
 * @property {number} frames encoded so far
 * @property {number} height
 * @property {string} [scalabilityMode]
 * @property {string} [codec] such as `video/VP9`
 */

/**
 * The encodings of a participant's own camera, by rid.
 *
 * @param {import('./participant.mjs').Participant} publisher
 * @returns {Promise<Record<string, Sent>>}
 */
export function sent(publisher) {
  return publisher.tab.evaluate(async () => {
    const found = {};
    const stats = await window.peer.getStats();
    for (const entry of stats.values()) {
      if (entry.type !== 'outbound-rtp' || entry.kind !== 'video') continue;
      found[entry.rid] = {
        active: entry.active,
        frames: entry.framesEncoded ?? 0,
        height: entry.frameHeight ?? 0,
        scalabilityMode: entry.scalabilityMode,
        limitation: entry.qualityLimitationReason,
        codec: stats.get(entry.codecId)?.mimeType,
      };
    }
    return found;
  });
}

/**
 * What a viewer receives of somebody's camera.
 *
 * @param {import('./participant.mjs').Participant} viewer
 * @param {string} name
 * @returns {Promise<{ frames: number, height: number, freezes: number, refused: number }>} `refused`
 *   is how often it asked for a key frame, for want of a picture that it can decode
 */
export async function received(viewer, name) {
  const { id } = await viewer.seesTileOf(name);
  return viewer.tab.evaluate(async (participant) => {
    const { mid } = window.sluice.room.participants.get(participant).track('camera') ?? {};
    for (const entry of (await window.peer.getStats()).values()) {
      if (entry.type !== 'inbound-rtp' || entry.kind !== 'video' || entry.mid !== mid) continue;
      return {
        frames: entry.framesDecoded ?? 0,
        height: entry.frameHeight ?? 0,
        freezes: entry.freezeCount ?? 0,
        decoder: entry.decoderImplementation,
        refused: entry.pliCount ?? 0,
      };
    }
    return { frames: 0, height: 0, freezes: 0, refused: 0 };
  }, id);
}

/**
 * Notes every frame of somebody's camera that a viewer's page shows, from now on.
 *
 * @param {import('./participant.mjs').Participant} viewer
 * @param {string} name
 */
export async function watchFrames(viewer, name) {
  const { id } = await viewer.seesTileOf(name);
  await viewer.tab.evaluate((participant) => {
    const video = document.querySelector(`[data-participant="${participant}"] video`);
    window.shownFrames = [];
    const note = (now, { rtpTimestamp, height }) => {
      window.shownFrames.push({ at: now, rtp: rtpTimestamp, height });
      video.requestVideoFrameCallback(note);
    };
    if (window.watching !== video) video.requestVideoFrameCallback(note);
    window.watching = video;
  }, id);
}

/**
 * The frames since `watchFrames`: their heights, the longest time between two of them as they were
 * shown and as they were taken, in milliseconds.
 *
 * @param {import('./participant.mjs').Participant} viewer
 */
export async function watched(viewer) {
  const frames = await viewer.tab.evaluate(() => window.shownFrames);
  const gaps = (/** @type {(frame: any) => number} */ of) =>
    Math.max(0, ...frames.slice(1).map((frame, i) => of(frame) - of(frames[i])));
  return {
    count: frames.length,
    heights: [...new Set(frames.map(({ height }) => height))],
    shownGapMs: Math.round(gaps(({ at }) => at)),
    // 90 kHz (RFC 7741, section 4.1).
    takenGapMs: Math.round(gaps(({ rtp }) => rtp / 90)),
  };
}
