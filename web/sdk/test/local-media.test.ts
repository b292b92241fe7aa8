import { beforeEach, describe, expect, test } from 'vitest';
import { MediaError, NotAllowed } from '../src/errors.ts';
import { LocalMedia } from '../src/local-media.ts';
import type { Publication } from '../src/publication.ts';
import { FakePeer, FakePlatform, required, settle } from './fakes.ts';

class FakeTrack {
  enabled = true;
  readyState = 'live';
  contentHint = '';
  onended: (() => void) | null = null;

  constructor(
    readonly kind: 'audio' | 'video',
    readonly deviceId = 'default',
    readonly height?: number,
  ) {}

  getSettings(): MediaTrackSettings {
    const height = this.height !== undefined && { height: this.height };
    return { deviceId: this.deviceId, ...height };
  }

  stop(): void {
    this.readyState = 'ended';
  }
}

let platform: FakePlatform;
let media: LocalMedia;
let peer: FakePeer;
let sent: Publication;
/** What was asked of `getUserMedia`, and what it gave. */
let asked: MediaStreamConstraints[];
let given: FakeTrack[];
let told: string[];

function stream(...tracks: FakeTrack[]): MediaStream {
  given.push(...tracks);
  return {
    getTracks: () => tracks,
    getVideoTracks: () => tracks.filter((track) => track.kind === 'video'),
    getAudioTracks: () => tracks.filter((track) => track.kind === 'audio'),
  } as unknown as MediaStream;
}

beforeEach(() => {
  platform = new FakePlatform();
  asked = [];
  given = [];
  told = [];
  platform.userMedia = (constraints: MediaStreamConstraints) => {
    asked.push(constraints);
    return Promise.resolve(stream(new FakeTrack(constraints.video ? 'video' : 'audio')));
  };
  platform.displayMedia = () => Promise.resolve(stream(new FakeTrack('video')));
  media = new LocalMedia(platform);
  peer = new FakePeer();
  sent = media.bind(peer);
  media.on('changed', (source) => told.push(source));
  media.on('negotiate', () => told.push('negotiate'));
});

test('there are two m-lines without any device', () => {
  expect(sent.published()).toEqual([
    { mid: '0', source: 'microphone' },
    { mid: '1', source: 'camera' },
  ]);
  expect(media.presence).toMatchObject({ audio_muted: true, video_muted: true });
});

test('a muted microphone keeps its device, so that unmuting asks for none', async () => {
  await media.set('microphone', true);
  await media.set('microphone', false);
  const track = required(given[0]);
  expect([track.enabled, track.readyState]).toEqual([false, 'live']);
  await media.set('microphone', true);
  expect(track.enabled).toBe(true);
  expect(asked).toHaveLength(1);
});

test('a camera that is off lets go of its device', async () => {
  await media.set('camera', true);
  await media.set('camera', false);
  expect(required(given[0]).readyState).toBe('ended');
  expect(media.track('camera')).toBeUndefined();
  await media.set('camera', true);
  expect(asked).toHaveLength(2);
});

test('another device is taken at once when on, and remembered when off', async () => {
  await media.choose('camera', 'front');
  expect(asked).toEqual([]);
  await media.set('camera', true);
  expect(asked[0]).toMatchObject({ video: { deviceId: { ideal: 'front' } } });
  await media.choose('camera', 'back');
  expect(asked[1]).toMatchObject({ video: { deviceId: { exact: 'back' } } });
  expect(required(given[0]).readyState).toBe('ended');
});

test('a device that is denied changes nothing and says why', async () => {
  platform.userMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
  await expect(media.set('camera', true)).rejects.toMatchObject({
    problem: 'denied',
    device: 'camera',
  });
  expect(media.isOn('camera')).toBe(false);
  const problems = await media.start({ microphone: true, camera: false });
  expect(problems.map((problem) => problem instanceof MediaError)).toEqual([true]);
});

test('a device that is unplugged is off, and said to be', async () => {
  const errors: string[] = [];
  media.on('error', (error) => errors.push(error.problem));
  await media.set('camera', true);
  required(given[0]).onended?.();
  await settle();
  expect(media.isOn('camera')).toBe(false);
  expect(errors).toEqual(['missing']);
});

describe('a shared screen', () => {
  test('has an m-line of its own, which the next share reuses', async () => {
    await media.shareScreen(true, 'speaker');
    expect(sent.published()).toContainEqual({ mid: '2', source: 'screen' });
    expect(media.presence.screen_sharing).toBe(true);
    await media.shareScreen(false, 'speaker');
    expect(sent.published()).toHaveLength(2);
    await media.shareScreen(true, 'speaker');
    expect(sent.published()).toContainEqual({ mid: '2', source: 'screen' });
    expect(told.filter((one) => one === 'negotiate')).toHaveLength(3);
  });

  test('that the browser ends is over', async () => {
    await media.shareScreen(true, 'host');
    required(given[0]).onended?.();
    for (let i = 0; i < 10; i += 1) await Promise.resolve();
    expect(media.isOn('screen')).toBe(false);
    expect(told.at(-1)).toBe('negotiate');
  });

  test('is not for every role', async () => {
    await expect(media.shareScreen(true, 'attendee')).rejects.toBeInstanceOf(NotAllowed);
    expect(given).toEqual([]);
  });

  test('goes on over another peer connection', async () => {
    await media.set('microphone', true);
    await media.shareScreen(true, 'speaker');
    const other = media.bind(new FakePeer());
    expect(other.published().map((one) => one.source)).toEqual(['microphone', 'camera', 'screen']);
  });
});
