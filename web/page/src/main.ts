import {
  Aborted,
  CoordinatorUnreachable,
  RequestRefused,
  SluiceClient,
  SluiceError,
  type LeaveReason,
  type Room,
} from '../../sdk/src/index.ts';
import { Call } from './call/call.ts';
import { loadConfig, parseRoute, type PageConfig, type Route } from './config.ts';
import { announce, type View } from './dom.ts';
import { regionName, setRegionNames } from './format.ts';
import { Lobby, sentence, type Entry } from './lobby.ts';
import { landing, notice, waiting } from './notices.ts';

type PageState =
  'landing' | 'lobby' | 'joining' | 'connected' | 'reconnecting' | 'ended' | 'failed';

let current: View | undefined;

function show(view: View, state: PageState): void {
  current?.dispose();
  current = view;
  document.getElementById('app')?.replaceChildren(view.element);
  setState(state);
}

function setState(state: PageState): void {
  document.documentElement.dataset['state'] = state;
}

function openLobby(config: PageConfig, route: Route, problem?: string): void {
  show(new Lobby(route, problem, (entry) => void join(config, route, entry)), 'lobby');
}

async function join(config: PageConfig, route: Route, entry: Entry): Promise<void> {
  const abort = new AbortController();
  const progress = waiting('Joining…', () => {
    abort.abort();
    openLobby(config, route);
  });
  show(progress, 'joining');
  announce('Joining the meeting');
  const problems: string[] = [];
  try {
    const room = await SluiceClient.join({
      coordinator: config.coordinator,
      meeting: route.meeting ?? '',
      ...(route.invite !== undefined && { invite: route.invite }),
      ...(route.hostKey !== undefined && { hostKey: route.hostKey }),
      ...(route.token !== undefined && { token: route.token }),
      ...(route.clientAddress !== undefined && { clientAddress: route.clientAddress }),
      ...(route.key !== undefined && { e2ee: { key: route.key } }),
      name: entry.name,
      media: entry.media,
      publish: route.publish,
      signal: abort.signal,
      onWaiting: () => progress.say('The host will let you in soon.'),
      onMediaError: (error) => problems.push(sentence(error.message)),
    });
    openCall(config, route, room, problems);
  } catch (error) {
    if (error instanceof Aborted || abort.signal.aborted) return;
    fail(config, route, error);
  }
}

function openCall(config: PageConfig, route: Route, room: Room, problems: string[]): void {
  const call = new Call(room, { host: route.hostKey !== undefined });
  show(call, 'connected');
  for (const problem of problems) call.say(problem);
  announce(`You are in the meeting, served by ${regionName(room.admission.region)}`);
  if (config.dev) Object.assign(window, { sluice: { room } });
  let lastError: SluiceError | undefined;
  room.on('error', (error) => {
    lastError = error;
    call.say(sentence(error.message));
  });
  room.on('connectionState', (state) => {
    if (state === 'failed') fail(config, route, lastError);
    else if (state !== 'ended') setState(state);
  });
  room.on('ended', (reason) => end(config, route, reason));
  // A tab that closes says goodbye; one that is killed is missed by its edge instead.
  window.addEventListener('pagehide', () => room.leave(), { once: true });
}

const ENDED: Record<LeaveReason, [string, string]> = {
  left: ['You left the meeting', 'Your camera and microphone are off.'],
  timed_out: ['The connection was lost', 'The meeting went on without you.'],
  removed: ['You were removed', 'A host ended your part in this meeting.'],
  replaced: ['You joined from elsewhere', 'This tab gave your place to the other one.'],
  meeting_ended: ['The meeting is over', 'A host ended it for all.'],
  edge_lost: ['The connection was lost', 'The edge that served you went away.'],
};

function end(config: PageConfig, route: Route, reason: LeaveReason): void {
  const [title, text] = ENDED[reason];
  const again = { label: 'Join again', run: () => openLobby(config, route) };
  show(notice(title, text, reason === 'meeting_ended' ? undefined : again), 'ended');
  announce(title);
}

function fail(config: PageConfig, route: Route, error: unknown): void {
  const [title, text] = failureWords(error);
  const again = { label: 'Try again', run: () => openLobby(config, route) };
  show(notice(title, text, again), 'failed');
  announce(`${title}. ${text}`);
}

function failureWords(error: unknown): [string, string] {
  if (error instanceof RequestRefused) {
    if (error.status === 404)
      return ['No such meeting', 'The link is wrong, or the meeting is gone.'];
    if (error.status === 410) return ['The meeting is over', 'A host ended it for all.'];
    if (error.status === 401 || error.status === 403) {
      return ['You cannot join', sentence(error.message)];
    }
    return ['The meeting did not let you in', sentence(error.message)];
  }
  if (error instanceof CoordinatorUnreachable) {
    return ['No connection', 'The service cannot be reached. Check your network, then try again.'];
  }
  if (error instanceof SluiceError) return ['The call failed', sentence(error.message)];
  return ['Something went wrong', error instanceof Error ? sentence(error.message) : String(error)];
}

/** States in which nothing is lost when the page is loaded anew. */
const IDLE: readonly string[] = ['landing', 'lobby', 'ended', 'failed'];

async function start(): Promise<void> {
  // Another key is another call, but a change of the fragment alone does not load the page.
  window.addEventListener('hashchange', () => {
    if (IDLE.includes(document.documentElement.dataset['state'] ?? '')) location.reload();
  });
  const route = parseRoute(location);
  let config: PageConfig;
  try {
    config = await loadConfig();
  } catch (error) {
    const why = error instanceof Error ? sentence(error.message) : '';
    const again = { label: 'Try again', run: () => location.reload() };
    show(notice('The edge does not answer', why, again), 'failed');
    return;
  }
  setRegionNames(config.regions ?? {});
  if (!route.meeting) {
    show(landing(regionName(config.region)), 'landing');
  } else if (route.autojoin) {
    const media = { microphone: route.audio, camera: route.video };
    await join(config, route, { name: route.name || 'Guest', media });
  } else {
    openLobby(config, route);
  }
}

void start();
