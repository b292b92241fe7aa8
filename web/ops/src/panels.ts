// The tables beside the map.

import { fill, h } from '../../page/src/dom.ts';
import { milliseconds, plural, rate, share, time } from './format.ts';
import { TREE_COLOURS } from './map.ts';
import type { Edge, Happening, MeshMap, MeshState, Room, Tree } from './protocol.ts';
import { health, type LinkFigures } from './traffic.ts';

function table(head: string[], rows: HTMLElement[], none: string): HTMLElement {
  if (rows.length === 0) return h('p', { class: 'none' }, none);
  const heads = head.map((text) => h('th', { attr: { scope: 'col' } }, text));
  return h('table', {}, h('thead', {}, h('tr', {}, ...heads)), h('tbody', {}, ...rows));
}

const cell = (text: string, kind = ''): HTMLElement => h('td', kind ? { class: kind } : {}, text);

export function totals(map: MeshMap, state: MeshState, links: LinkFigures[]): HTMLElement[] {
  const declared = map.regions.reduce((sum, region) => sum + region.edges.length, 0);
  const carried = links.reduce((sum, { measured }) => sum + (measured?.mbps ?? 0), 0);
  const bad = links.filter((figures) => health(figures) === 'bad').length;
  const figure = (value: string, name: string, test: string) =>
    h('div', { class: 'figure', data: { testid: test } }, h('b', {}, value), ` ${name}`);
  return [
    figure(state.participants.toLocaleString('en'), 'in meetings', 'participants'),
    figure(state.rooms_count.toLocaleString('en'), 'rooms', 'rooms'),
    figure(`${state.edges.length} / ${declared}`, 'edges up', 'edges'),
    figure(rate(carried), 'on the backbone', 'carried'),
    figure(String(bad), 'links ailing', 'ailing'),
  ];
}

export function rooms(
  state: MeshState,
  chosen: string | null,
  choose: (room: string) => void,
): HTMLElement {
  const rows = state.rooms.map((room) =>
    h(
      'tr',
      {
        class: room.room === chosen ? 'chosen' : '',
        data: { room: room.room },
        on: { click: () => choose(room.room) },
      },
      h('td', {}, h('button', { class: 'plain' }, room.room)),
      cell(String(room.participants), 'number'),
      cell(String(room.trees), 'number'),
      cell(String(room.epoch), 'number'),
    ),
  );
  const more = state.rooms_count - state.rooms.length;
  return h(
    'div',
    {},
    table(['Room', 'In', 'Trees', 'Epoch'], rows, 'Nobody is in a meeting.'),
    more > 0 && h('p', { class: 'none' }, `and ${more.toLocaleString('en')} more; choose them by id`),
  );
}

/** A tree as lists within lists, with what has come over each hop. */
function branches(tree: Tree, room: Room, parent: string): HTMLElement | undefined {
  const children = tree.branches.filter((branch) => branch.parent === parent);
  if (children.length === 0) return undefined;
  const items = children.map((branch) => {
    const relays = room.edges
      .filter(({ edge }) => edge === branch.edge)
      .flatMap(({ report }) => report.relays)
      .filter((relay) => relay.root === tree.root && relay.from === branch.parent);
    const packets = relays.reduce((sum, relay) => sum + relay.packets, 0);
    const flow = relays.length === 0 ? 'nothing wanted' : `${plural(relays.length, 'track')}, ${plural(packets, 'packet')}`;
    const backup = branch.backup ? `, backup ${branch.backup}` : '';
    return h(
      'li',
      {},
      h('span', { class: 'edge' }, branch.edge),
      h('span', { class: 'note' }, ` ${flow}${backup}`),
      branches(tree, room, branch.edge),
    );
  });
  return h('ul', {}, ...items);
}

export function trees(room: Room | null, chosen: string | null): HTMLElement {
  if (!chosen) return h('p', { class: 'none' }, 'Choose a room to see along which trees its tracks travel.');
  if (!room) return h('p', { class: 'none' }, `There is no room ${chosen} now.`);
  const list = room.trees.map((tree, at) => {
    const root = room.edges.find(({ edge }) => edge === tree.root)?.report;
    const here = root ? ` ${root.participants} in, ${plural(root.tracks.length, 'track')} published` : '';
    return h(
      'li',
      { class: `colour-${at % TREE_COLOURS}`, data: { tree: tree.root } },
      h('span', { class: 'edge root' }, tree.root),
      h('span', { class: 'note' }, here),
      branches(tree, room, tree.root),
    );
  });
  return h(
    'div',
    {},
    h('p', {}, h('b', {}, room.room), ` · ${room.participants} in · epoch ${room.epoch}`),
    h('ul', { class: 'trees' }, ...list),
  );
}

export function edges(all: Edge[], map: MeshMap): HTMLElement {
  const up = new Set(all.map((edge) => edge.edge));
  const down = map.regions.flatMap((region) => region.edges).filter((edge) => !up.has(edge));
  const rows = all.map((edge) =>
    h(
      'tr',
      { data: { edge: edge.edge } },
      cell(edge.edge),
      cell(`${edge.participants} / ${edge.capacity}`, 'number'),
      cell(share(edge.load_permille / 1_000), 'number'),
      cell(edge.draining ? 'draining' : 'up', edge.draining ? 'warn' : 'ok'),
    ),
  );
  rows.push(
    ...down.map((edge) =>
      h('tr', { data: { edge } }, cell(edge), cell('', 'number'), cell('', 'number'), cell('down', 'fault')),
    ),
  );
  return table(['Edge', 'In', 'Load', ''], rows, 'The topology has no edges.');
}

const WORDS = { none: 'no connection', good: 'good', fair: 'fair', bad: 'ailing' } as const;
const KINDS = { none: 'faint', good: 'ok', fair: 'warn', bad: 'fault' } as const;

export function links(all: LinkFigures[]): HTMLElement {
  const rows = all.map((figures) => {
    const { link, measured } = figures;
    const how = health(figures);
    return h(
      'tr',
      { data: { link: link.ends.join(' ') } },
      cell(link.ends.join(' – ')),
      cell(measured ? milliseconds(measured.round_trip_ms) : '–', 'number'),
      cell(`${link.round_trip_ms} ms`, 'number faint'),
      cell(measured ? share(measured.loss) : '–', 'number'),
      cell(measured?.mbps === undefined ? '–' : rate(measured.mbps), 'number'),
      cell(WORDS[how], KINDS[how]),
    );
  });
  return table(['Link', 'Round trip', 'Declared', 'Loss', 'Carries', ''], rows, 'No links.');
}

/** The latest first. */
export function happenings(list: HTMLElement, all: Happening[]): void {
  fill(
    list,
    ...all.map((one) =>
      h(
        'li',
        { class: `happening ${one.kind}`, data: { kind: one.kind } },
        h('time', {}, time(one.at_ms)),
        h('span', { class: 'edge' }, one.edge ?? one.room ?? ''),
        h('span', {}, one.text),
      ),
    ),
  );
}
