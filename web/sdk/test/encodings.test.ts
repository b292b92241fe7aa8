import { beforeEach, describe, expect, test } from 'vitest';
import { preferCodec, sendEncodings, type PublishOptions } from '../src/encodings.ts';
import { LocalMedia } from '../src/local-media.ts';
import type { Publication } from '../src/publication.ts';
import { FakePeer, FakePlatform, required, settle, type FakeTransceiver } from './fakes.ts';

let platform: FakePlatform;
let peer: FakePeer;
let sent: Publication;
let height: number;

function videoTrack(): MediaStreamTrack {
  return {
    kind: 'video',
    enabled: true,
    readyState: 'live',
    onended: null,
    getSettings: () => ({ height }),
    stop: () => {},
  } as unknown as MediaStreamTrack;
}

beforeEach(() => {
  platform = new FakePlatform();
  peer = new FakePeer();
  height = 720;
});

function bound(options: PublishOptions = {}): LocalMedia {
  const media = new LocalMedia(platform, options);
  sent = media.bind(peer);
  return media;
}

const camera = (): FakeTransceiver => required(peer.transceivers[1]);
const actives = (): unknown[] => camera().sender.encodings.map((one) => [one.rid, one.active]);

describe('a camera', () => {
  test('is sent in three encodings, lowest first', () => {
    bound();
    expect(camera().init.sendEncodings).toEqual([
      { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150_000, scalabilityMode: 'L1T3' },
      { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000, scalabilityMode: 'L1T3' },
      { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_700_000, scalabilityMode: 'L1T3' },
    ]);
  });

  test('loses the scalability mode first, then the smaller encodings', () => {
    peer.refuses = (encodings) => encodings.some((one) => 'scalabilityMode' in one);
    bound();
    expect(camera().init.sendEncodings?.map((one) => one.rid)).toEqual(['q', 'h', 'f']);
    expect(camera().init.sendEncodings?.[0]).not.toHaveProperty('scalabilityMode');

    peer = new FakePeer();
    peer.refuses = (encodings) => encodings.length > 1;
    bound();
    expect(camera().init.sendEncodings).toEqual([
      { scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
    ]);

    peer = new FakePeer();
    peer.refuses = (encodings) => encodings.length > 0;
    bound();
    expect(camera().init.sendEncodings).toBeUndefined();
  });

  test('says its height, and says it again when it is another', async () => {
    const media = bound();
    let offers = 0;
    media.on('negotiate', () => (offers += 1));
    expect(sent.published()[1]).toEqual({ mid: '1', source: 'camera' });
    await media.set('camera', videoTrack());
    expect(offers).toBe(1);
    expect(sent.published()[1]).toEqual({ mid: '1', source: 'camera', height: 720 });
    await media.set('camera', videoTrack());
    expect(offers).toBe(1);
    height = 480;
    await media.set('camera', videoTrack());
    expect(offers).toBe(2);
  });

  test('is one encoding without simulcast, and one scalable stream as VP9', () => {
    expect(sendEncodings('camera', { simulcast: false })).toEqual([
      { maxBitrate: 1_700_000, scalabilityMode: 'L1T3' },
    ]);
    expect(sendEncodings('camera', { codec: 'av1' })).toEqual([
      { maxBitrate: 1_700_000, scalabilityMode: 'L3T3_KEY' },
    ]);
    expect(sendEncodings('camera', { codec: 'h264' })).toHaveLength(3);
    const layered = (scalabilityMode: string) =>
      sendEncodings('camera', { codec: 'vp9', scalabilityMode }).map((one) => one.scalabilityMode);
    expect(layered('L2T2')).toEqual(['L2T2']);
    expect(layered('L1T2')).toEqual(['L1T2', 'L1T2', 'L1T2']);
  });
});

test('a screen has two encodings', async () => {
  platform.displayMedia = () =>
    Promise.resolve({
      getVideoTracks: () => [videoTrack()],
      getAudioTracks: () => [],
    } as unknown as MediaStream);
  const media = bound();
  await media.shareScreen(true, 'host');
  const screen = required(peer.transceivers[2]);
  expect(screen.init.sendEncodings?.map((one) => one.rid)).toEqual(['h', 'f']);
  await sent.setEncodings('2', [{ rid: 'f', active: false }]);
  await media.shareScreen(false, 'host');
  await settle();
  expect(screen.sender.encodings.map((one) => one.active)).toEqual([true, true]);
});

describe('the codec', () => {
  const names = (codecs: RTCRtpCodec[]): string[] => codecs.map((one) => one.mimeType.slice(6));

  test('that is preferred comes first, with its companions', () => {
    bound({ codec: 'vp9' });
    expect(names(camera().codecs)).toEqual(['VP9', 'VP8', 'rtx', 'H264', 'AV1', 'ulpfec']);
    expect(names(preferCodec(platform.videoCodecs(), 'vp9', true))).toEqual([
      'VP9',
      'rtx',
      'ulpfec',
    ]);
  });

  test('that the browser lacks changes nothing', () => {
    platform.videoCodecs = () => [{ mimeType: 'video/VP8', clockRate: 90_000 }];
    bound({ codec: 'av1' });
    expect(camera().codecs).toEqual([]);
  });
});

describe('encodings that nobody wants', () => {
  test('are not sent until somebody does', async () => {
    bound();
    await sent.setEncodings('1', [
      { rid: 'q', active: true },
      { rid: 'h', active: false },
      { rid: 'f', active: false },
    ]);
    expect(actives()).toEqual([
      ['q', true],
      ['h', false],
      ['f', false],
    ]);
    await sent.setEncodings('1', [{ rid: 'h', active: true }]);
    expect(actives()).toEqual([
      ['q', true],
      ['h', true],
      ['f', false],
    ]);
    await sent.setEncodings('7', [{ rid: 'q', active: false }]);
    expect(camera().sender.set).toHaveLength(2);
  });

  test('stay so over a renegotiation and another track', async () => {
    const media = bound();
    await sent.setEncodings('1', [{ rid: 'f', active: false }]);
    const { sender } = camera();
    sender.encodings = sender.encodings.map((one) => ({ ...one, active: true }));
    sent.described();
    await settle();
    expect(actives()[2]).toEqual(['f', false]);
    sender.encodings = sender.encodings.map((one) => ({ ...one, active: true }));
    await media.set('camera', videoTrack());
    await media.set('camera', false);
    expect(actives()[2]).toEqual(['f', false]);
    expect(sender.encodings.map((one) => one.maxBitrate)).toEqual([150_000, 500_000, 1_700_000]);
  });

  test('change one after another, and end as they were wanted last', async () => {
    bound();
    const { sender } = camera();
    let running = 0;
    let most = 0;
    sender.busy = async () => {
      running += 1;
      most = Math.max(most, running);
      await Promise.resolve();
      running -= 1;
    };
    for (const active of [false, true, false]) {
      void sent.setEncodings('1', [{ rid: 'f', active }]);
    }
    await settle();
    expect(most).toBe(1);
    expect(actives()[2]).toEqual(['f', false]);
  });

  test('that a sender refuses to change are tried again with the next description', async () => {
    bound();
    const { sender } = camera();
    sender.busy = () => Promise.reject(new DOMException('not now', 'InvalidStateError'));
    await sent.setEncodings('1', [{ rid: 'f', active: false }]);
    expect(actives()[2]).toEqual(['f', true]);
    sender.busy = () => Promise.resolve();
    sent.described();
    await settle();
    expect(actives()[2]).toEqual(['f', false]);
  });

  test('are all sent over another peer connection', async () => {
    const media = bound();
    await sent.setEncodings('1', [{ rid: 'f', active: false }]);
    peer = new FakePeer();
    media.bind(peer);
    expect(camera().sender.encodings.every((one) => one.active)).toBe(true);
  });
});
