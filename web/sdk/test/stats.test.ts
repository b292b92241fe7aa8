import { expect, test } from 'vitest';
import { Feed } from '../src/feed.ts';
import { Roster } from '../src/roster.ts';
import { StatsReader, quality, type TrackStats } from '../src/stats.ts';
import { sumTracks } from '../src/stats-sums.ts';
import { FakePeer, FakePlatform, snapshot, view } from './fakes.ts';

type Entry = Record<string, unknown> & { id: string };

function report(...entries: Entry[]): RTCStatsReport {
  return new Map(entries.map((entry) => [entry.id, entry])) as unknown as RTCStatsReport;
}

function inbound(second: number, change: object = {}): Entry {
  return {
    id: 'in',
    type: 'inbound-rtp',
    kind: 'video',
    mid: '5',
    timestamp: second * 1_000,
    bytesReceived: second * 125_000,
    packetsReceived: second * 97,
    packetsLost: second * 3,
    jitter: 0.012,
    codecId: 'codec',
    ...change,
  };
}

const CODEC: Entry = { id: 'codec', type: 'codec', mimeType: 'video/VP8' };

function someoneReceived(): Roster {
  const roster = new Roster();
  const peer = new FakePeer();
  peer.receive('5');
  const track = { track_id: 'tr_1', kind: 'video', source: 'camera' } as const;
  roster.handle(snapshot([view('pt_a', { tracks: [track], path: ['mumbai', 'paris'] })]));
  const feed = new Feed(new FakePlatform(), peer, () => {});
  feed.receive([{ ...track, mid: '5', participant_id: 'pt_a' }]);
  roster.play(feed);
  return roster;
}

test('counters become rates over the time between two readings', () => {
  const { participants } = someoneReceived();
  const reader = new StatsReader();
  reader.read(report(inbound(1), CODEC), [], participants);
  const { tracks, transport } = reader.read(report(inbound(2), CODEC), [], participants);
  expect(tracks).toEqual([
    {
      direction: 'in',
      participantId: 'pt_a',
      trackId: 'tr_1',
      kind: 'video',
      source: 'camera',
      codec: 'VP8',
      bitrateBps: 1_000_000,
      lossRatio: 0.03,
      jitterMs: 12,
      path: ['mumbai', 'paris'],
    },
  ]);
  expect(transport.lossInRatio).toBeCloseTo(0.03);
});

test('the pair in use is found with and without a transport’s word', () => {
  const pair = {
    id: 'pair',
    type: 'candidate-pair',
    state: 'succeeded',
    nominated: true,
    timestamp: 1,
    currentRoundTripTime: 0.05,
    localCandidateId: 'l',
    remoteCandidateId: 'r',
  };
  const ends = [
    { id: 'l', type: 'local-candidate', candidateType: 'relay', protocol: 'udp' },
    { id: 'r', type: 'remote-candidate', candidateType: 'host', protocol: 'udp' },
  ];
  const transport = { id: 't', type: 'transport', selectedCandidatePairId: 'pair' };
  for (const entries of [
    [pair, ...ends],
    [pair, ...ends, transport],
  ]) {
    const read = new StatsReader().read(report(...entries), [], new Map());
    expect(read.transport).toMatchObject({
      roundTripMs: 50,
      local: { type: 'relay', protocol: 'udp' },
      remote: { type: 'host' },
    });
  }
});

test('an own track has the loss and jitter that the edge reports', () => {
  const own = { track_id: 'tr_o', kind: 'audio', source: 'microphone', mid: '0' } as const;
  const outbound = {
    id: 'o',
    type: 'outbound-rtp',
    kind: 'audio',
    mid: '0',
    timestamp: 1,
    remoteId: 'ro',
  };
  const remote = { id: 'ro', type: 'remote-inbound-rtp', fractionLost: 0.25, jitter: 0.002 };
  const { tracks } = new StatsReader().read(report(outbound, remote), [own], new Map());
  expect(tracks[0]).toMatchObject({ trackId: 'tr_o', lossRatio: 0.25, jitterMs: 2 });
});

test('the worst track tells a participant’s quality', () => {
  const track = (change: Partial<TrackStats>): TrackStats => ({
    direction: 'in',
    kind: 'audio',
    bitrateBps: 40_000,
    lossRatio: 0,
    jitterMs: 3,
    ...change,
  });
  const camera = track({ kind: 'video', framesPerSecond: 30 });
  expect(quality([])).toBe('none');
  expect(quality([track({ direction: 'out' })])).toBe('none');
  expect(quality([track({}), camera])).toBe('good');
  expect(quality([track({ lossRatio: 0.05 }), camera])).toBe('fair');
  expect(quality([track({ jitterMs: 200 }), camera])).toBe('poor');
  expect(quality([{ ...camera, framesPerSecond: 1 }])).toBe('poor');
  expect(quality([{ ...camera, framesPerSecond: 0, bitrateBps: 0 }])).toBe('good');
});

test('tracks are added up, by direction and kind', () => {
  const track = (change: Partial<TrackStats>): TrackStats => ({
    direction: 'in',
    kind: 'video',
    bitrateBps: 0,
    lossRatio: 0,
    ...change,
  });
  const sums = sumTracks([
    track({ trackId: 'a', bitrateBps: 500_000, framesPerSecond: 30 }),
    track({ trackId: 'b', bitrateBps: 100_000, framesPerSecond: 7.5 }),
    track({ trackId: 'c', paused: true }),
    track({ trackId: 'd', kind: 'audio', bitrateBps: 32_000 }),
    track({ direction: 'out', trackId: 'o', layer: 'q', bitrateBps: 150_000, framesPerSecond: 30 }),
    track({ direction: 'out', trackId: 'o', layer: 'h', bitrateBps: 450_000, framesPerSecond: 30 }),
  ]);
  expect(sums).toEqual({
    in: {
      audioTracks: 1,
      videoTracks: 2,
      audioBps: 32_000,
      videoBps: 600_000,
      framesPerSecond: 37.5,
      pausedTracks: 1,
    },
    out: { audioTracks: 0, videoTracks: 1, audioBps: 0, videoBps: 600_000, framesPerSecond: 60 },
  });
});

test('a reading says which layer comes in now, whether it is held back, and the sums', () => {
  const roster = someoneReceived();
  const entry = inbound(1, { frameHeight: 360, frameWidth: 640, framesPerSecond: 15 });
  roster.handle({ type: 'track.state', track_id: 'tr_1', state: 'paused_by_bandwidth' });
  const { tracks, sums } = new StatsReader().read(report(entry), [], roster.participants);
  expect(tracks[0]).toMatchObject({ height: 360, framesPerSecond: 15, paused: true });
  expect(sums.in.pausedTracks).toBe(1);
  expect(new StatsReader().empty().sums.in.videoTracks).toBe(0);
});
