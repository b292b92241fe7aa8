import type { PublishOptions, VideoCodec } from '../../sdk/src/index.ts';

/** What the edge says about itself in `/config.json`. */
export interface PageConfig {
  /** The coordinator's base URL. */
  coordinator: string;
  /** The edge that served the page. */
  edge: string;
  /** Its region. */
  region: string;
  /** Whether the mesh is for development. */
  dev: boolean;
  /** What people call the regions, by name; a region that is missing goes by its own name. */
  regions?: Record<string, string>;
}

/** What the page's address asks for. */
export interface Route {
  /** The meeting to join; absent on the landing page. */
  meeting: string | undefined;
  invite: string | undefined;
  hostKey: string | undefined;
  token: string | undefined;
  /** What media and messages are encrypted with, end to end; absent when they are not. */
  key: string | undefined;
  name: string;
  /** Join without a click. */
  autojoin: boolean;
  /** Be placed as if coming from this address; only a development mesh allows it. */
  clientAddress: string | undefined;
  audio: boolean;
  video: boolean;
  /** How own pictures are sent (`codec=vp9`, `layers=L3T3_KEY`), where the address says so. */
  publish: PublishOptions;
}

const CODECS: readonly VideoCodec[] = ['vp8', 'vp9', 'h264', 'av1'];

/**
 * Reads the page's address: `/m/{meeting}` or `/m/{meeting}/{invite}`, the query, and the key in
 * the fragment (`#key=…`), which browsers tell no server.
 */
export function parseRoute(location: Pick<Location, 'pathname' | 'search' | 'hash'>): Route {
  const [, prefix, meeting, invite] = location.pathname.split('/').map(decodeURIComponent);
  const query = new URLSearchParams(location.search);
  const text = (name: string): string | undefined => query.get(name) || undefined;
  const codec = CODECS.find((one) => one === query.get('codec'));
  const layers = text('layers');
  return {
    meeting: prefix === 'm' && meeting ? meeting : undefined,
    invite: invite || text('invite'),
    hostKey: text('host_key'),
    token: text('token'),
    key: new URLSearchParams(location.hash.slice(1)).get('key') || undefined,
    name: text('name') ?? '',
    autojoin: query.get('autojoin') === '1',
    clientAddress: text('as'),
    audio: query.get('audio') !== '0',
    video: query.get('video') !== '0',
    publish: {
      ...(codec && { codec }),
      ...(layers && { scalabilityMode: layers }),
    },
  };
}

/**
 * The page's own address for a pasted join link: its meeting and secrets, at this edge.
 * `undefined` when the text is no join link.
 */
export function localJoinPath(text: string): string | undefined {
  let url: URL;
  try {
    url = new URL(text.trim(), 'https://any.example');
  } catch {
    return undefined;
  }
  return /^\/m\/mtg_[A-Za-z0-9]+/.test(url.pathname) ? url.pathname + url.search + url.hash : undefined;
}

/** Asks the edge about itself. @throws Error when it does not answer as an edge does. */
export async function loadConfig(): Promise<PageConfig> {
  const response = await fetch('/config.json', { cache: 'no-store' });
  if (!response.ok) throw new Error(`the edge is not ready yet (status ${response.status})`);
  return (await response.json()) as PageConfig;
}

const NAME_KEY = 'sluice.name';

/** The name that was used last in this browser. */
export function rememberedName(): string {
  try {
    return localStorage.getItem(NAME_KEY) ?? '';
  } catch {
    // Storage is off in some private windows; a name is then typed each time.
    return '';
  }
}

/** Remembers a name for the next meeting. */
export function rememberName(name: string): void {
  try {
    localStorage.setItem(NAME_KEY, name);
  } catch {
    // As above.
  }
}
