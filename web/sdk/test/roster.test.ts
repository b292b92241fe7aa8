import { beforeEach, describe, expect, test } from 'vitest';
import { Feed } from '../src/feed.ts';
import type { ReceivedTrack, TrackInfo } from '../src/protocol.ts';
import { Roster } from '../src/roster.ts';
import { FakePeer, FakePlatform, required, snapshot, view } from './fakes.ts';

const CAMERA: TrackInfo = { track_id: 'tr_1', kind: 'video', source: 'camera' };

let roster: Roster;
let platform: FakePlatform;
let peer: FakePeer;
let feed: Feed;
let told: string[];

beforeEach(() => {
  roster = new Roster();
  platform = new FakePlatform();
  peer = new FakePeer();
  feed = new Feed(platform, peer, () => roster.refresh());
  roster.play(feed);
  told = [];
  roster.on('participantJoined', ({ id }) => told.push(`joined ${id}`));
  roster.on('participantLeft', ({ participant }) => told.push(`left ${participant.id}`));
  roster.on('trackPublished', ({ track }) => told.push(`published ${track.id}`));
  roster.on('trackUnpublished', ({ track }) => told.push(`unpublished ${track.id}`));
  roster.on('trackSubscribed', ({ track, mediaStreamTrack }) =>
    told.push(`subscribed ${track.id} ${mediaStreamTrack.id}`),
  );
  roster.on('trackUnsubscribed', ({ track }) => told.push(`unsubscribed ${track.id}`));
});

function received(trackId: string, mid: string, participant = 'pt_a'): ReceivedTrack {
  return { ...CAMERA, track_id: trackId, mid, participant_id: participant };
}

function receive(...tracks: ReceivedTrack[]): void {
  feed.receive(tracks);
  roster.refresh();
}

/** So many pictures have been decoded of what comes over an m-line. */
async function decode(of: FakePeer, mid: string, frames: number): Promise<void> {
  of.inbound.set(mid, { kind: 'video', framesDecoded: frames });
  await platform.advance(100);
}

test('media that comes before its participant is matched when that is heard of', () => {
  peer.receive('5');
  receive(received('tr_1', '5'));
  expect(told).toEqual([]);
  roster.handle(snapshot([view('pt_a', { tracks: [CAMERA] })]));
  expect(told).toEqual(['joined pt_a', 'subscribed tr_1 media-5']);
});

test('media that comes before its track is matched when that is published', () => {
  roster.handle(snapshot([view('pt_a')]));
  peer.receive('5');
  receive(received('tr_1', '5'));
  roster.handle({ type: 'room.track_published', participant_id: 'pt_a', track: CAMERA });
  expect(told).toEqual(['joined pt_a', 'published tr_1', 'subscribed tr_1 media-5']);
});

test('an m-line that is reused leaves one track before it carries another', () => {
  const other = { ...CAMERA, track_id: 'tr_2' };
  roster.handle(snapshot([view('pt_a', { tracks: [CAMERA] }), view('pt_b', { tracks: [other] })]));
  peer.receive('5');
  receive(received('tr_1', '5'));
  told.length = 0;
  receive(received('tr_2', '5', 'pt_b'));
  expect(told).toEqual(['unsubscribed tr_1', 'subscribed tr_2 media-5']);
});

test('a track that stays is not told again', () => {
  roster.handle(snapshot([view('pt_a', { tracks: [CAMERA] })]));
  peer.receive('5');
  receive(received('tr_1', '5'));
  told.length = 0;
  receive(received('tr_1', '5'));
  expect(told).toEqual([]);
});

test('an unpublished track does not come back with the next event', () => {
  roster.handle(snapshot([view('pt_a', { tracks: [CAMERA] })]));
  peer.receive('5');
  receive(received('tr_1', '5'));
  roster.handle({ type: 'room.track_unpublished', participant_id: 'pt_a', track_id: 'tr_1' });
  told.length = 0;
  roster.handle({ type: 'room.participant_joined', participant: view('pt_b') });
  expect(told).toEqual(['joined pt_b']);
});

test('a fresh snapshot keeps those who stayed and lets go of the others', () => {
  roster.handle(snapshot([view('pt_a'), view('pt_b')]));
  const stayed = required(roster.participants.get('pt_a'));
  told.length = 0;
  roster.handle(snapshot([view('pt_a', { name: 'Ann' }), view('pt_c')]));
  expect(told).toEqual(['left pt_b', 'joined pt_c']);
  expect(roster.participants.get('pt_a')).toBe(stayed);
  expect(stayed.name).toBe('Ann');
});

test('presence and path are the participant’s own', () => {
  roster.handle(snapshot([view('pt_a')]));
  roster.handle({
    type: 'room.presence_changed',
    participant_id: 'pt_a',
    audio_muted: false,
    video_muted: false,
    hand_raised: true,
    screen_sharing: false,
  });
  roster.handle({ type: 'room.path_changed', participant_id: 'pt_a', path: ['mumbai', 'paris'] });
  const participant = required(roster.participants.get('pt_a'));
  expect(participant.presence.hand_raised).toBe(true);
  expect(participant.path).toEqual(['mumbai', 'paris']);
});

test('the own presence is kept too, and oneself is not among the others', () => {
  roster.handle(snapshot());
  roster.handle({ type: 'room.participant_joined', participant: view('pt_me') });
  roster.handle({
    type: 'room.presence_changed',
    participant_id: 'pt_me',
    ...view('pt_me').presence,
    hand_raised: true,
  });
  expect(told).toEqual([]);
  expect(roster.local?.presence.hand_raised).toBe(true);
});

test('those who speak are told, the dominant one first, also the client itself', () => {
  const spoke: string[][] = [];
  roster.on('speakers', (speakers) => spoke.push(speakers.map(({ id }) => id)));
  roster.handle(snapshot([view('pt_a'), view('pt_b')]));
  roster.handle({
    type: 'room.speakers',
    speakers: [
      { participant_id: 'pt_b', level: 20 },
      { participant_id: 'pt_unknown', level: 25 },
      { participant_id: 'pt_me', level: 30 },
    ],
  });
  const b = required(roster.participants.get('pt_b'));
  expect([b.speaking, b.level, roster.local?.level]).toEqual([true, 20, 30]);
  roster.handle({ type: 'room.participant_left', participant_id: 'pt_b', reason: 'left' });
  roster.handle({ type: 'room.speakers', speakers: [{ participant_id: 'pt_a', level: 9 }] });
  expect(roster.local?.speaking).toBe(false);
  roster.handle({ type: 'room.speakers', speakers: [] });
  expect(spoke).toEqual([['pt_b', 'pt_me'], ['pt_me'], ['pt_a'], []]);
});

test('a picture that the network cannot carry is paused until it can', () => {
  const paused: boolean[] = [];
  roster.on('trackPaused', ({ track }) => paused.push(track.paused));
  peer.receive('5');
  roster.handle(snapshot([view('pt_a', { tracks: [CAMERA] })]));
  receive(received('tr_1', '5'));
  const say = (state: 'active' | 'paused_by_bandwidth'): void => {
    roster.handle({ type: 'track.state', track_id: 'tr_1', state });
  };
  say('paused_by_bandwidth');
  say('paused_by_bandwidth');
  say('active');
  say('paused_by_bandwidth');
  roster.detachAll();
  expect(paused).toEqual([true, false, true, false]);
});

describe('somebody who moves to another edge', () => {
  const NEW = { ...CAMERA, track_id: 'tr_2' };

  /** Its camera plays, and comes a second time from its new edge. */
  function moves(): void {
    peer.receive('5');
    peer.receive('6');
    roster.handle(snapshot([view('pt_a', { tracks: [CAMERA] })]));
    receive(received('tr_1', '5'));
    const again = view('pt_a', { edge: 'tokyo-1', region: 'tokyo', tracks: [CAMERA, NEW] });
    roster.handle({ type: 'room.participant_joined', participant: again });
    told.length = 0;
    receive(received('tr_1', '5'), received('tr_2', '6'));
  }

  test('is the same participant, elsewhere', () => {
    moves();
    const { region, edge } = required(roster.participants.get('pt_a'));
    expect([region, edge]).toEqual(['tokyo', 'tokyo-1']);
  });

  test('is seen from the old edge until a picture came from the new', async () => {
    moves();
    await decode(peer, '6', 0);
    expect(told).toEqual([]);
    await decode(peer, '6', 1);
    expect(told).toEqual(['subscribed tr_2 media-6', 'unsubscribed tr_1']);
    roster.handle({ type: 'room.track_unpublished', participant_id: 'pt_a', track_id: 'tr_1' });
    expect(told.slice(2)).toEqual(['unpublished tr_1']);
  });

  test('is not waited for when the old edge has nothing more', () => {
    moves();
    roster.handle({ type: 'room.track_unpublished', participant_id: 'pt_a', track_id: 'tr_1' });
    expect(told).toEqual(['unsubscribed tr_1', 'unpublished tr_1', 'subscribed tr_2 media-6']);
  });
});

describe('another peer connection that takes over', () => {
  const next = (): { other: FakePeer; late: Feed } => {
    const other = new FakePeer();
    const late = new Feed(platform, other, () => roster.refresh());
    return { other, late };
  };

  test('plays each track once that flows, and the former until then', async () => {
    roster.handle(snapshot([view('pt_a', { tracks: [CAMERA] })]));
    peer.receive('5');
    receive(received('tr_1', '5'));
    told.length = 0;
    const { other, late } = next();
    roster.play(late);
    other.receive('s0');
    late.receive([received('tr_1', 's0')]);
    roster.refresh();
    await decode(other, 's0', 0);
    expect(told).toEqual([]);
    await decode(other, 's0', 1);
    expect(told).toEqual(['subscribed tr_1 media-s0']);
    roster.drop(feed);
    expect(told).toHaveLength(1);
  });

  test('plays what never flowed when the former ends, and lets go of what does not come', () => {
    const other_track = { ...CAMERA, track_id: 'tr_2' };
    roster.handle(snapshot([view('pt_a', { tracks: [CAMERA] }), view('pt_b', { tracks: [other_track] })]));
    peer.receive('5');
    peer.receive('6');
    receive(received('tr_1', '5'), received('tr_2', '6', 'pt_b'));
    told.length = 0;
    const { other, late } = next();
    other.receive('s0');
    late.receive([received('tr_1', 's0')]);
    roster.play(late);
    expect(told).toEqual([]);
    roster.drop(feed);
    expect(told).toEqual(['unsubscribed tr_2', 'subscribed tr_1 media-s0']);
  });
});
