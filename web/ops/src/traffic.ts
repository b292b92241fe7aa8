// What links carry, from what edges report second by second.

import type { Edge, Link, MeshMap } from './protocol.ts';

/** A link between two regions, as the edges at its ends measure it. */
export interface LinkFigures {
  link: Link;
  /** Absent while no edges are connected over it. */
  measured?: {
    round_trip_ms: number;
    /** The worse direction's. */
    loss: number;
    /** Both directions together; absent until it was reported twice. */
    mbps?: number;
    connections: number;
  };
}

interface Counted {
  at: number;
  bytes: number;
  bps?: number;
}

const key = (a: string, b: string): string => (a < b ? `${a} ${b}` : `${b} ${a}`);

export class Traffic {
  /** What was last sent from one edge to another. */
  #counted = new Map<string, Counted>();

  /** The figures of every declared link; `now` in milliseconds. */
  take(map: MeshMap, edges: Edge[], now: number): LinkFigures[] {
    const region = new Map(edges.map((edge) => [edge.edge, edge.region]));
    const measured = new Map<string, NonNullable<LinkFigures['measured']>>();
    const counted = new Map<string, Counted>();
    for (const edge of edges) {
      for (const report of edge.links) {
        const there = region.get(report.peer);
        if (there === undefined || there === edge.region) continue;
        const name = `${edge.edge} ${report.peer}`;
        const count = this.#count(name, report.sent_bytes, now);
        counted.set(name, count);
        const pair = key(edge.region, there);
        const trip = report.round_trip_us / 1_000;
        const figures = measured.get(pair);
        const sum = {
          // Of several edges' the shortest: what others have on top of it is their own.
          round_trip_ms: Math.min(trip, figures?.round_trip_ms ?? Infinity),
          loss: Math.max(report.loss_ppm / 1e6, figures?.loss ?? 0),
          connections: (figures?.connections ?? 0) + 0.5,
        };
        const mbps =
          count.bps === undefined ? figures?.mbps : (figures?.mbps ?? 0) + count.bps / 1e6;
        measured.set(pair, mbps === undefined ? sum : { ...sum, mbps });
      }
    }
    this.#counted = counted;
    return map.links.map((link) => {
      const figures = measured.get(key(...link.ends));
      return figures ? { link, measured: figures } : { link };
    });
  }

  #count(name: string, bytes: number, now: number): Counted {
    const before = this.#counted.get(name);
    // Reports come at their own pace: what did not change is not a new one, for a while.
    if (before && before.bytes === bytes && now - before.at < 5_000) return before;
    if (!before || bytes < before.bytes || now <= before.at) return { at: now, bytes };
    return { at: now, bytes, bps: ((bytes - before.bytes) * 8_000) / (now - before.at) };
  }
}

export type Health = 'none' | 'good' | 'fair' | 'bad';

/** How a link does, against what is declared of it. */
export function health({ link, measured }: LinkFigures): Health {
  if (!measured) return 'none';
  const slow = measured.round_trip_ms / link.round_trip_ms;
  const used = (measured.mbps ?? 0) / link.capacity_mbps;
  if (slow > 1.75 || measured.loss > 0.03 || used > 0.9) return 'bad';
  if (slow > 1.25 || measured.loss > 0.005 || used > 0.7) return 'fair';
  return 'good';
}
