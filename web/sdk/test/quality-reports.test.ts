import { beforeEach, expect, test } from 'vitest';
import { JoinClock } from '../src/join-clock.ts';
import type { QualityReport } from '../src/protocol.ts';
import { QualityReports } from '../src/quality-reports.ts';
import { sumTracks } from '../src/stats-sums.ts';
import type { RoomStats, TrackStats } from '../src/stats.ts';
import { FakePlatform } from './fakes.ts';

let platform: FakePlatform;
let clock: JoinClock;
let sent: QualityReport[];
let stats: RoomStats | undefined;
let reports: QualityReports;

function video(change: Partial<TrackStats> = {}): TrackStats {
  return {
    direction: 'in',
    trackId: 'tr_1',
    participantId: 'pt_a',
    kind: 'video',
    bitrateBps: 500_000.4,
    lossRatio: 0.0123456,
    ...change,
  };
}

function room(...tracks: TrackStats[]): RoomStats {
  const transport = { roundTripMs: 41.6, bitrateInBps: 0, bitrateOutBps: 0, lossInRatio: 0 };
  return { transport, tracks, sums: sumTracks(tracks) };
}

beforeEach(() => {
  platform = new FakePlatform();
  clock = new JoinClock(platform);
  sent = [];
  stats = room(video());
  reports = new QualityReports(platform, {
    read: () => Promise.resolve(stats),
    clock: () => clock,
    send: (report) => sent.push(report),
  });
});

test('a client reports three seconds after it is connected, then every ten', async () => {
  await platform.advance(500);
  clock.mark('admitted_ms');
  reports.start();
  await platform.advance(3_000);
  expect(sent).toEqual([
    {
      interval_ms: 3_000,
      round_trip_ms: 42,
      join: { admitted_ms: 500, first_media_ms: 3_500 },
      tracks: [
        {
          direction: 'in',
          kind: 'video',
          track_id: 'tr_1',
          participant_id: 'pt_a',
          bitrate_bps: 500_000,
          loss_ppm: 12_346,
        },
      ],
    },
  ]);
  await platform.advance(20_000);
  expect(sent.map((report) => report.interval_ms)).toEqual([3_000, 10_000, 10_000]);
  expect(sent[1]?.join).toBeUndefined();
  reports.stop();
  await platform.advance(60_000);
  expect(sent.length).toBe(3);
});

test('freezes are those since the report before', async () => {
  reports.start();
  stats = room(video({ freezes: 2, freezeMs: 700.2 }));
  await platform.advance(3_000);
  stats = room(video({ freezes: 3, freezeMs: 1_000.4 }));
  await platform.advance(10_000);
  expect(sent.map(({ tracks }) => [tracks[0]?.freezes, tracks[0]?.freeze_ms])).toEqual([
    [2, 700],
    [1, 300],
  ]);
});

test('of too many tracks those that carry most are reported', async () => {
  const many = Array.from({ length: 100 }, (_, n) => video({ trackId: `tr_${n}`, bitrateBps: n }));
  stats = room(...many, video({ trackId: 'tr_paused', bitrateBps: 0, paused: true }));
  reports.start();
  await platform.advance(3_000);
  expect(sent[0]?.tracks.length).toBe(64);
  expect(sent[0]?.tracks[0]?.track_id).toBe('tr_99');
});

test('a relayed candidate counts by how the client gets to the relay', async () => {
  stats = room(video());
  stats.transport.local = { type: 'relay', protocol: 'udp', relayProtocol: 'tls' };
  reports.start();
  await platform.advance(3_000);
  expect(sent[0]?.network).toEqual({ kind: 'relay', protocol: 'tcp' });
});

test('without a connection nothing is reported', async () => {
  stats = undefined;
  reports.start();
  await platform.advance(30_000);
  expect(sent).toEqual([]);
});
