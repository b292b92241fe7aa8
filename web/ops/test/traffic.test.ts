import { describe, expect, it } from 'vitest';
import type { Edge, MeshMap } from '../src/protocol.ts';
import { health, Traffic } from '../src/traffic.ts';

const MAP: MeshMap = {
  mesh: 'test',
  regions: [],
  links: [
    { ends: ['paris', 'tokyo'], round_trip_ms: 200, capacity_mbps: 100 },
    { ends: ['paris', 'lima'], round_trip_ms: 150, capacity_mbps: 100 },
  ],
};

function edge(name: string, region: string, links: [string, number, number, number][]): Edge {
  return {
    edge: name,
    region,
    participants: 0,
    capacity: 10,
    load_permille: 0,
    rooms: 0,
    draining: false,
    software: '',
    links: links.map(([peer, trip, loss, sent]) => ({
      peer,
      round_trip_us: trip,
      loss_ppm: loss,
      sent_bytes: sent,
      received_bytes: 0,
    })),
  };
}

const both = (sent: number) => [
  edge('paris-1', 'paris', [['tokyo-1', 210_000, 1_000, sent], ['paris-2', 100, 0, 9]]),
  edge('paris-2', 'paris', []),
  edge('tokyo-1', 'tokyo', [['paris-1', 205_000, 7_000, sent]]),
];

describe('the traffic of links', () => {
  it('is the difference between two reports, over the time between them', () => {
    const traffic = new Traffic();
    const [first, none] = traffic.take(MAP, both(1_000), 0);
    expect(first?.measured).toEqual({ round_trip_ms: 205, loss: 0.007, connections: 1 });
    expect(none?.measured).toBeUndefined();
    // The same report again is no news.
    traffic.take(MAP, both(1_000), 1_000);
    const [second] = traffic.take(MAP, both(1_001_000), 2_000);
    expect(second?.measured?.mbps).toBeCloseTo(8);
    // An edge that was restarted counts from nothing.
    const [third] = traffic.take(MAP, both(10), 3_000);
    expect(third?.measured?.mbps).toBeUndefined();
  });

  it('tells links that ail', () => {
    const [link] = MAP.links;
    if (!link) throw new Error('a link');
    const of = (round_trip_ms: number, loss: number, mbps: number) =>
      health({ link, measured: { round_trip_ms, loss, mbps, connections: 1 } });
    expect(health({ link })).toBe('none');
    expect(of(200, 0, 10)).toBe('good');
    expect(of(300, 0, 10)).toBe('fair');
    expect(of(400, 0, 10)).toBe('bad');
    expect(of(200, 0.01, 10)).toBe('fair');
    expect(of(200, 0.05, 10)).toBe('bad');
    expect(of(200, 0, 95)).toBe('bad');
  });
});
