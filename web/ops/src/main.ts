// The live page: asks for a token, then shows the mesh for as long as the coordinator tells of it.

import { fill, h, setText } from '../../page/src/dom.ts';
import { follow, Refused, type ServerEvent } from './event-stream.ts';
import { WorldMap } from './map.ts';
import * as panels from './panels.ts';
import type { Happening, MeshMap, MeshState } from './protocol.ts';
import { Traffic } from './traffic.ts';

/** Kept for as long as this tab is. */
const TOKEN_KEY = 'sluice.ops.token';

/** Happenings that are shown. */
const HAPPENINGS_MAX = 200;

/** How long to wait before asking again. Milliseconds. */
const RETRY_MS = 2_000;

const root = document.getElementById('app') as HTMLElement;

/** A link may bring the token in its fragment, which no server sees; it leaves the address at once. */
function tokenOfAddress(): string | null {
  const found = new URLSearchParams(location.hash.slice(1)).get('token');
  if (found) history.replaceState(null, '', location.pathname + location.search);
  return found;
}

function ask(reason: string): void {
  const input = h('input', {
    attr: { id: 'token', type: 'password', autocomplete: 'off', required: true, placeholder: 'eyJ…' },
  });
  const form = h(
    'form',
    {
      class: 'ask',
      on: {
        submit: (event) => {
          event.preventDefault();
          begin(input.value.trim());
        },
      },
    },
    h('h1', {}, 'Sluice · the mesh'),
    h('label', { attr: { for: 'token' } }, 'Token of an API key with ops'),
    input,
    h('button', {}, 'Watch'),
    h('p', { class: 'none' }, 'sluice keys token prints one.'),
    h('p', { class: 'fault', attr: { role: 'alert' }, data: { testid: 'refused' } }, reason),
  );
  fill(root, form);
  input.focus();
}

class Live {
  #token: string;
  #map: MeshMap | null = null;
  #state: MeshState | null = null;
  #happenings: Happening[] = [];
  #chosen: string | null = new URLSearchParams(location.search).get('room');
  #stop = new AbortController();
  #traffic = new Traffic();
  #world = new WorldMap();
  #title = h('h1', {}, 'Sluice');
  #status = h('span', { class: 'status', attr: { role: 'status' }, data: { testid: 'status' } });
  #totals = h('div', { class: 'totals' });
  #rooms = h('div');
  #trees = h('div', { data: { testid: 'trees' } });
  #edges = h('div');
  #links = h('div');
  #log = h('ol', { class: 'log', data: { testid: 'happenings' } });

  constructor(token: string) {
    this.#token = token;
    const search = h('input', {
      attr: { type: 'search', placeholder: 'room id', 'aria-label': 'Choose a room by its id' },
    });
    const choose = h(
      'form',
      {
        class: 'choose',
        on: {
          submit: (event) => {
            event.preventDefault();
            this.#choose(search.value.trim() || null);
          },
        },
      },
      search,
      h('button', {}, 'Show'),
    );
    const section = (title: string, ...children: HTMLElement[]) =>
      h('section', {}, h('h2', {}, title), ...children);
    fill(
      root,
      h('header', {}, this.#title, this.#status, this.#totals),
      h(
        'main',
        {},
        h('div', { class: 'world' }, this.#world.element as unknown as Node, legend()),
        h(
          'aside',
          {},
          section('Rooms', choose, this.#rooms),
          section('Relay trees', this.#trees),
        ),
        h(
          'div',
          { class: 'below' },
          section('Links', this.#links),
          section('Edges', this.#edges),
          section('What happens', this.#log),
        ),
      ),
    );
    void this.#watch();
  }

  #choose(room: string | null): void {
    this.#chosen = room === this.#chosen ? null : room;
    const query = this.#chosen ? `?room=${encodeURIComponent(this.#chosen)}` : '';
    history.replaceState(null, '', location.pathname + query);
    this.#stop.abort();
    this.#stop = new AbortController();
    void this.#watch();
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stop;
    const query = this.#chosen ? `?room=${encodeURIComponent(this.#chosen)}` : '';
    while (!signal.aborted) {
      try {
        await follow(`/v1/ops/live${query}`, this.#token, signal, (event) => this.#take(event));
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refused) {
          sessionStorage.removeItem(TOKEN_KEY);
          ask(error.message);
          return;
        }
        const reason = error instanceof Error && error.name !== 'AbortError' ? error.message : 'silent';
        this.#say('lost', `no line to the coordinator (${reason})`);
      }
      await new Promise((resolve) => setTimeout(resolve, signal.aborted ? 0 : RETRY_MS));
    }
  }

  #say(kind: 'live' | 'lost', text: string): void {
    this.#status.className = `status ${kind}`;
    setText(this.#status, text);
  }

  #take({ name, data }: ServerEvent): void {
    switch (name) {
      case 'map':
        this.#map = JSON.parse(data) as MeshMap;
        // What happened is told anew with each line.
        this.#happenings = [];
        setText(this.#title, this.#map.mesh);
        document.title = `${this.#map.mesh} · Sluice`;
        break;
      case 'state':
        this.#state = JSON.parse(data) as MeshState;
        this.#say('live', 'live');
        break;
      case 'happening':
        this.#happenings.unshift(JSON.parse(data) as Happening);
        this.#happenings.length = Math.min(this.#happenings.length, HAPPENINGS_MAX);
        panels.happenings(this.#log, this.#happenings);
        return;
      default:
        return;
    }
    this.#draw();
  }

  #draw(): void {
    const [map, state] = [this.#map, this.#state];
    if (!map || !state) return;
    const links = this.#traffic.take(map, state.edges, performance.now());
    this.#world.draw(map, state.edges, links, state.room);
    fill(this.#totals, ...panels.totals(map, state, links));
    fill(this.#rooms, panels.rooms(state, this.#chosen, (room) => this.#choose(room)));
    fill(this.#trees, panels.trees(state.room, this.#chosen));
    fill(this.#edges, panels.edges(state.edges, map));
    fill(this.#links, panels.links(links));
  }
}

function legend(): HTMLElement {
  const item = (kind: string, text: string) =>
    h('span', {}, h('i', { class: kind }), text);
  return h(
    'div',
    { class: 'legend' },
    item('good', 'as declared'),
    item('fair', 'slower, lossy or full'),
    item('bad', 'ailing'),
    item('none', 'no connection'),
  );
}

function begin(token: string): void {
  sessionStorage.setItem(TOKEN_KEY, token);
  new Live(token);
}

const known = tokenOfAddress() ?? sessionStorage.getItem(TOKEN_KEY);
if (known) begin(known);
else ask('');
