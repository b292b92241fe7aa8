import { expect, test } from 'vitest';
import { StatsReader } from '../../sdk/src/stats.ts';
import { localJoinPath, parseRoute } from '../src/config.ts';
import {
  bitrate,
  initials,
  layerName,
  milliseconds,
  pathNames,
  receiving,
  regionName,
  setRegionNames,
} from '../src/format.ts';

test('the address names the meeting, its secrets and how to join', () => {
  const route = parseRoute({
    pathname: '/m/mtg_abcdefgh/iv_secret',
    search: '?name=Ada&autojoin=1&as=80.10.246.2&video=0&host_key=hk_1',
    hash: '#key=c2VjcmV0LXNlY3JldC0x',
  });
  expect(route).toEqual({
    meeting: 'mtg_abcdefgh',
    invite: 'iv_secret',
    hostKey: 'hk_1',
    token: undefined,
    key: 'c2VjcmV0LXNlY3JldC0x',
    name: 'Ada',
    autojoin: true,
    clientAddress: '80.10.246.2',
    audio: true,
    video: false,
    publish: {},
  });
});

test('an invite may be in the query, and a page without a meeting has none', () => {
  expect(parseRoute({ pathname: '/m/mtg_1', search: '?invite=iv_1', hash: '' }).invite).toBe('iv_1');
  expect(parseRoute({ pathname: '/', search: '', hash: '' }).meeting).toBeUndefined();
  const scalable = parseRoute({ pathname: '/m/mtg_1', search: '?codec=vp9&layers=L2T2', hash: '' });
  expect(scalable.publish).toEqual({ codec: 'vp9', scalabilityMode: 'L2T2' });
  const unknown = parseRoute({ pathname: '/m/mtg_1', search: '?codec=theora', hash: '' });
  expect(unknown.publish).toEqual({});
});

test.each([
  ['https://meet.example/m/mtg_abc/iv_1?x=1', '/m/mtg_abc/iv_1?x=1'],
  ['https://meet.example/m/mtg_abc/iv_1#key=k', '/m/mtg_abc/iv_1#key=k'],
  [' /m/mtg_abc/iv_1 ', '/m/mtg_abc/iv_1'],
  ['https://meet.example/elsewhere', undefined],
  ['javascript:alert(1)', undefined],
  ['http://', undefined],
])('the join link %j is opened here as %j', (text, path) => {
  expect(localJoinPath(text)).toBe(path);
});

test('regions go by the names that they were given', () => {
  setRegionNames({ saopaulo: 'São Paulo' });
  expect(pathNames(['saopaulo', 'new-york'])).toBe('São Paulo → New York');
  expect(regionName('paris')).toBe('Paris');
});

test('figures are short', () => {
  expect(bitrate(1_254_000)).toBe('1.25 Mb/s');
  expect(bitrate(48_400)).toBe('48 kb/s');
  expect(milliseconds(3.21)).toBe('3.2 ms');
  expect(milliseconds(undefined)).toBe('–');
});

test('a layer is named by its height and rate', () => {
  expect(layerName({ height: 360, framesPerSecond: 14.8 })).toBe('360p, 15 fps');
  expect(layerName({ height: 360, paused: true })).toBe('paused, network too slow');
  expect(layerName({})).toBe('–');
});

test('what comes in is counted', () => {
  const { sums } = new StatsReader().empty();
  expect(receiving(sums)).toBe('0 videos, 0 sounds');
  Object.assign(sums.in, { videoTracks: 1, audioTracks: 2, pausedTracks: 1 });
  expect(receiving(sums)).toBe('1 video, 2 sounds, 1 paused');
});

test('initials are of the first and the last name', () => {
  expect(initials('Ada Lovelace')).toBe('AL');
  expect(initials('  Grace B. Hopper ')).toBe('GH');
  expect(initials('élodie')).toBe('É');
  expect(initials('')).toBe('?');
});
