// The map: land, regions, links, and the relay trees of the chosen room.

import coastlines from '../../../crates/cli/src/topology/land.txt?raw';
import { milliseconds, plural, rate, share } from './format.ts';
import { course, HEIGHT, land, middle, path, project, WIDTH, type Place } from './geometry.ts';
import type { Edge, MeshMap, Room } from './protocol.ts';
import { s } from './svg.ts';
import { health, type LinkFigures } from './traffic.ts';

/** As many trees are told apart by colour; then colours come again. */
export const TREE_COLOURS = 8;

/** Units between the lines of two trees that share a hop. */
const LANE = 3.2;

export class WorldMap {
  readonly element: SVGSVGElement;
  #links = s('g', { class: 'links' });
  #trees = s('g', { class: 'trees' });
  #labels = s('g', { class: 'labels' });
  #regions = s('g', { class: 'regions' });

  constructor() {
    this.element = s(
      'svg',
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': 'Map of the mesh' },
      s('defs', {}, arrowhead()),
      s('path', { class: 'land', d: land(coastlines) }),
      this.#links,
      this.#trees,
      this.#regions,
      this.#labels,
    );
  }

  draw(map: MeshMap, edges: Edge[], links: LinkFigures[], room: Room | null): void {
    const places = new Map<string, Place>(map.regions.map((region) => [region.region, region]));
    this.#drawLinks(places, links, room !== null);
    this.#drawTrees(places, edges, room);
    this.#drawRegions(map, edges);
  }

  #drawLinks(places: Map<string, Place>, links: LinkFigures[], behind: boolean): void {
    this.#links.replaceChildren();
    this.#labels.replaceChildren();
    for (const figures of links) {
      const [a, b] = figures.link.ends.map((end) => places.get(end));
      if (!a || !b) continue;
      const pieces = course(a, b);
      const width = 1.2 + Math.min(4, Math.log2(1 + (figures.measured?.mbps ?? 0)));
      const line = s('path', {
        d: path(pieces),
        class: `link ${health(figures)}${behind ? ' behind' : ''}`,
        'stroke-width': width.toFixed(1),
        'data-link': figures.link.ends.join(' '),
      });
      line.append(s('title', {}, describe(figures)));
      this.#links.append(line);
      if (figures.measured) {
        const { x, y } = middle(pieces);
        const text = milliseconds(figures.measured.round_trip_ms);
        this.#labels.append(s('text', { x, y: y - 3, class: 'trip' }, text));
      }
    }
  }

  #drawTrees(places: Map<string, Place>, edges: Edge[], room: Room | null): void {
    this.#trees.replaceChildren();
    const regionOf = new Map(edges.map((edge) => [edge.edge, edge.region]));
    const placeOf = (edge: string) => places.get(regionOf.get(edge) ?? '');
    const lanes = new Map<string, number>();
    room?.trees.forEach((tree, at) => {
      for (const { parent, edge } of tree.branches) {
        const [from, to] = [placeOf(parent), placeOf(edge)];
        if (!from || !to || from === to) continue;
        const hop = `${parent} ${edge}`;
        const lane = (lanes.get(hop) ?? 0) + 1;
        lanes.set(hop, lane);
        const line = s('path', {
          d: path(course(from, to), lane * LANE),
          class: `tree colour-${at % TREE_COLOURS}`,
          'marker-end': 'url(#arrow)',
          'data-hop': hop,
          'data-root': tree.root,
        });
        line.append(s('title', {}, `from ${tree.root}: ${parent} → ${edge}`));
        this.#trees.append(line);
      }
    });
  }

  #drawRegions(map: MeshMap, edges: Edge[]): void {
    this.#regions.replaceChildren();
    for (const region of map.regions) {
      const here = edges.filter((edge) => edge.region === region.region);
      const people = here.reduce((sum, edge) => sum + edge.participants, 0);
      const load = Math.max(0, ...here.map((edge) => edge.load_permille)) / 1_000;
      const { x, y } = project(region);
      const radius = 4.5 + Math.min(12, 2 * Math.log2(1 + people));
      const state =
        here.length === 0
          ? 'down'
          : here.every((edge) => edge.draining)
            ? 'draining'
            : load > 0.7
              ? 'busy'
              : 'up';
      const title = `${region.display_name}: ${plural(people, 'participant')}, load ${share(load)}, ${here.length} of ${plural(region.edges.length, 'edge')} up`;
      this.#regions.append(
        s(
          'g',
          { class: `region ${state}`, 'data-region': region.region, 'data-people': people },
          s('title', {}, title),
          s('circle', { cx: x, cy: y, r: radius }),
          people > 0 ? s('text', { x, y: y + 3, class: 'count' }, String(people)) : '',
          s('text', { x, y: y + radius + 9, class: 'name' }, region.display_name),
        ),
      );
    }
  }
}

function describe({ link, measured }: LinkFigures): string {
  const name = link.ends.join(' – ');
  const declared = `declared ${link.round_trip_ms} ms, ${rate(link.capacity_mbps)}`;
  if (!measured) return `${name}: no connection (${declared})`;
  const carried = measured.mbps === undefined ? '' : `, ${rate(measured.mbps)}`;
  return `${name}: ${milliseconds(measured.round_trip_ms)}, loss ${share(measured.loss)}${carried} (${declared})`;
}

function arrowhead(): SVGMarkerElement {
  return s(
    'marker',
    {
      id: 'arrow',
      viewBox: '0 0 8 8',
      refX: 10,
      refY: 4,
      markerWidth: 4.5,
      markerHeight: 4.5,
      orient: 'auto-start-reverse',
    },
    s('path', { d: 'M0,0 8,4 0,8Z', class: 'arrow' }),
  );
}
