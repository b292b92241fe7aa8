import { beforeEach, describe, expect, test } from 'vitest';
import { Negotiator } from '../src/negotiator.ts';
import type { ClientMessage, EdgeOffer, ReceivedTrack } from '../src/protocol.ts';
import { FakePeer, settle } from './fakes.ts';

let peer: FakePeer;
let sent: ClientMessage[];
let received: ReceivedTrack[][];
let failures: string[];
let negotiator: Negotiator;

const edgeOffer = (revision: number, sdp = 'edge'): EdgeOffer => ({
  type: 'sfu.offer',
  sdp_offer: sdp,
  revision,
  tracks: [],
});

const offers = (): string[] =>
  sent.flatMap((message) => (message.type === 'participant.offer' ? [message.sdp_offer] : []));

const answers = (): number[] =>
  sent.flatMap((message) => (message.type === 'participant.answer' ? [message.revision] : []));

beforeEach(() => {
  peer = new FakePeer();
  sent = [];
  received = [];
  failures = [];
  negotiator = new Negotiator(peer, {
    send: (message) => sent.push(message),
    published: () => [],
    onPublished: () => {},
    onOffered: () => peer.calls.push('offered'),
    onReceived: (tracks) => received.push(tracks),
    onFailure: (error) => failures.push(error.kind),
  });
});

async function joined(): Promise<void> {
  await negotiator.firstOffer();
  negotiator.answered('edge', []);
  negotiator.linkUp();
  await settle();
}

test('the first offer is returned, since it travels in the hello', async () => {
  expect(await negotiator.firstOffer()).toBe('offer-1');
  expect(sent).toEqual([]);
});

test('a wish of the browser during the first offer makes no second one', async () => {
  await negotiator.firstOffer();
  peer.onnegotiationneeded?.(new Event('negotiationneeded'));
  negotiator.answered('edge', []);
  negotiator.linkUp();
  await settle();
  expect(offers()).toEqual([]);
});

test('the edge’s offer is answered with its revision, then its tracks are told', async () => {
  await joined();
  negotiator.offered(edgeOffer(7));
  await settle();
  expect(answers()).toEqual([7]);
  expect(peer.calls.slice(-3)).toEqual(['remote-offer', 'offered', 'answer']);
  expect(received).toHaveLength(1);
  expect(peer.signalingState).toBe('stable');
});

test('changes while an offer is under way make one more offer after its answer', async () => {
  await joined();
  negotiator.request();
  await settle();
  negotiator.request();
  negotiator.request();
  await settle();
  expect(offers()).toEqual(['offer-2']);
  negotiator.answered('edge', []);
  await settle();
  expect(offers()).toEqual(['offer-2', 'offer-3']);
});

describe('glare', () => {
  test('gives way to the edge, offers again, and ignores the refusal of the first', async () => {
    await joined();
    negotiator.request();
    await settle();
    negotiator.offered(edgeOffer(1));
    await settle();
    expect(answers()).toEqual([1]);
    expect(offers()).toEqual(['offer-2', 'offer-3']);

    // The edge refuses offer-2, which is long gone, and answers offer-3.
    expect(negotiator.failed('glare')).toBe(true);
    await settle();
    expect(peer.calls).not.toContain('rollback');
    negotiator.answered('edge', []);
    await settle();
    expect(peer.signalingState).toBe('stable');
    expect(offers()).toEqual(['offer-2', 'offer-3']);
  });

  test('that is told before the edge’s offer is rolled back and waits for it', async () => {
    await joined();
    negotiator.request();
    await settle();
    negotiator.failed('glare');
    await settle();
    expect(peer.calls).toContain('rollback');
    expect(offers()).toEqual(['offer-2']);
    negotiator.offered(edgeOffer(1));
    await settle();
    expect(offers()).toEqual(['offer-2', 'offer-3']);
  });
});

describe('a link that broke', () => {
  test('holds offers back until it is up', async () => {
    await joined();
    negotiator.linkDown();
    negotiator.request();
    await settle();
    expect(offers()).toEqual([]);
    negotiator.linkUp();
    await settle();
    expect(offers()).toEqual(['offer-2']);
  });

  test('says the last answer and the pending offer again', async () => {
    await joined();
    negotiator.offered(edgeOffer(4));
    negotiator.request();
    await settle();
    sent.length = 0;
    negotiator.resend();
    await settle();
    expect(answers()).toEqual([4]);
    expect(offers()).toEqual(['offer-2']);
  });

  test('leaves the answer to an offer that was said twice alone', async () => {
    await joined();
    negotiator.request();
    await settle();
    negotiator.answered('edge', []);
    negotiator.answered('edge', []);
    await settle();
    expect(failures).toEqual([]);
    expect(peer.calls.filter((call) => call === 'remote-answer')).toHaveLength(2);
  });
});

test('an offer that the edge cannot read is taken back, and not made again unasked', async () => {
  await joined();
  negotiator.request();
  await settle();
  expect(negotiator.failed('bad_sdp')).toBe(false);
  await settle();
  peer.onnegotiationneeded?.(new Event('negotiationneeded'));
  await settle();
  expect(peer.signalingState).toBe('stable');
  expect(offers()).toEqual(['offer-2']);
  negotiator.request();
  await settle();
  expect(offers()).toEqual(['offer-2', 'offer-3']);
});

test('a description that the browser refuses is a failure with a type', async () => {
  await joined();
  negotiator.offered(edgeOffer(1, 'broken'));
  await settle();
  expect(failures).toEqual(['negotiation_failed']);
});

test('nothing happens after the end', async () => {
  await joined();
  negotiator.close();
  negotiator.offered(edgeOffer(1));
  await settle();
  expect(sent).toEqual([]);
});
