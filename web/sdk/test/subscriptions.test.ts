import { beforeEach, expect, test } from 'vitest';
import type { ClientMessage, Subscription } from '../src/protocol.ts';
import { Subscriptions } from '../src/subscriptions.ts';
import { FakePlatform, settle } from './fakes.ts';

let platform: FakePlatform;
let subscriptions: Subscriptions;
let sent: Subscription[][];

const send = (message: ClientMessage): void => {
  if (message.type === 'subscription.update') sent.push(message.tracks);
};

beforeEach(() => {
  platform = new FakePlatform();
  subscriptions = new Subscriptions(platform);
  sent = [];
});

test('wishes of one turn are one message, and later ones wait 100 ms for each other', async () => {
  subscriptions.linkUp(send);
  subscriptions.set('tr_1', { height: 180.4, frameRate: 15, priority: 'low' });
  subscriptions.set('tr_2', { visible: false });
  await settle();
  expect(sent).toEqual([
    [
      { track_id: 'tr_1', wish: { height: 180, frame_rate: 15, priority: 'low' } },
      { track_id: 'tr_2', wish: { visible: false } },
    ],
  ]);
  subscriptions.set('tr_1', { height: 360 });
  await platform.advance(60);
  subscriptions.set('tr_1', { height: 720 });
  subscriptions.set('tr_2', undefined);
  await platform.advance(39);
  expect(sent).toHaveLength(1);
  await platform.advance(1);
  expect(sent[1]).toEqual([{ track_id: 'tr_1', wish: { height: 720 } }, { track_id: 'tr_2' }]);
});

test('a wish that was said is not said again', async () => {
  subscriptions.linkUp(send);
  subscriptions.set('tr_1', { height: 180 });
  await settle();
  subscriptions.set('tr_1', { height: 180.2 });
  await platform.advance(500);
  expect(sent).toHaveLength(1);
});

test('every wish is said to another edge, and none of a track that is gone', async () => {
  subscriptions.linkUp(send);
  subscriptions.set('tr_1', { height: 180 });
  subscriptions.set('tr_2', { subscribed: false });
  subscriptions.set('tr_3', { height: 90 });
  await settle();
  subscriptions.linkDown(send);
  subscriptions.set('tr_1', undefined);
  subscriptions.forget('tr_3');
  await platform.advance(500);
  expect(sent).toHaveLength(1);
  subscriptions.linkUp(send);
  await settle();
  expect(sent[1]).toEqual([
    { track_id: 'tr_1' },
    { track_id: 'tr_2', wish: { subscribed: false } },
  ]);
});

test('more tracks than a message may name are several messages', async () => {
  for (let i = 0; i < 300; i += 1) subscriptions.set(`tr_${i}`, { visible: false });
  subscriptions.linkUp(send);
  await settle();
  expect(sent.map((tracks) => tracks.length)).toEqual([256, 44]);
});

test('numbers stay within what the wire can say', async () => {
  subscriptions.linkUp(send);
  subscriptions.set('tr_1', { height: 1e6, frameRate: 1_000 });
  await settle();
  expect(sent[0]?.[0]?.wish).toEqual({ height: 65_535, frame_rate: 255 });
});
