import type {
  Room,
  RoomStats,
  StatsSums,
  TrackStats,
  TransportStats,
} from '../../../sdk/src/index.ts';
import { fill, h } from '../dom.ts';
import { bitrate, layerName, milliseconds, pathNames, percent, receiving, regionName } from '../format.ts';
import { sparkline } from '../icons.ts';

/** How many readings the curves show. */
const HISTORY = 60;

/** Live figures: the connection to the edge, and every track with the regions it crosses. */
export class Statistics {
  readonly element = h('div', { class: 'statistics', data: { testid: 'statistics-panel' } });
  readonly #room: Room;
  readonly #roundTrips: number[] = [];
  readonly #incoming: number[] = [];

  constructor(room: Room) {
    this.#room = room;
  }

  /** Shows a reading. */
  show(stats: RoomStats): void {
    const { transport, sums } = stats;
    push(this.#roundTrips, transport.roundTripMs ?? 0);
    push(this.#incoming, transport.bitrateInBps);
    if (!this.element.isConnected) return;
    const own = stats.tracks.filter((track) => track.direction === 'out');
    fill(
      this.element,
      this.#connection(transport, sums),
      ...[...this.#room.participants.values()].map((participant) => {
        const tracks = stats.tracks.filter((track) => track.participantId === participant.id);
        return section(participant.name, pathNames(participant.path), tracks, participant.id);
      }),
      section('You', 'sent to your edge', own, 'self'),
    );
  }

  #connection(transport: TransportStats, sums: StatsSums): HTMLElement {
    const { region, edge } = this.#room.admission;
    return h(
      'section',
      { data: { testid: 'transport' } },
      h('h3', {}, 'Your connection'),
      h('p', { class: 'path' }, `${regionName(region)} · ${edge}`),
      h(
        'div',
        { class: 'figures' },
        figure('Round trip', milliseconds(transport.roundTripMs), this.#roundTrips),
        figure('Incoming', bitrate(transport.bitrateInBps), this.#incoming),
      ),
      h(
        'dl',
        {},
        ...row('Outgoing', bitrate(transport.bitrateOutBps)),
        ...row('Loss', percent(transport.lossInRatio)),
        ...row('Receiving', receiving(sums)),
        ...(transport.availableOutBps === undefined
          ? []
          : row('Could send', bitrate(transport.availableOutBps))),
        ...row('Route', route(transport)),
      ),
    );
  }
}

function section(title: string, path: string, tracks: TrackStats[], id: string): HTMLElement {
  return h(
    'section',
    { data: { testid: 'track-stats', participant: id } },
    h('h3', {}, title),
    h('p', { class: 'path', data: { testid: 'path' } }, path),
    ...tracks.map(trackFigures),
    tracks.length === 0 && h('p', { class: 'faint' }, 'No media.'),
  );
}

function trackFigures(track: TrackStats): HTMLElement {
  const size = track.width && track.height ? `${track.width} × ${track.height}` : undefined;
  const frames =
    track.framesPerSecond === undefined ? undefined : `${Math.round(track.framesPerSecond)} fps`;
  return h(
    'dl',
    { data: { kind: track.kind, ...(track.trackId && { track: track.trackId }) } },
    ...row(sourceName(track), [track.codec, size, frames].filter(Boolean).join(' · ') || '–'),
    ...row('Bitrate', bitrate(track.bitrateBps)),
    ...row('Loss, jitter', `${percent(track.lossRatio)}, ${milliseconds(track.jitterMs)}`),
    ...(track.kind === 'video' && track.direction === 'in' && track.freezes !== undefined
      ? row('Freezes', String(track.freezes))
      : []),
    ...(track.kind === 'video' && track.direction === 'in' ? row('Layer', layerName(track)) : []),
    ...(track.layer ? row('Layer', track.layer) : []),
    ...(track.limitation && track.limitation !== 'none' ? row('Limited by', track.limitation) : []),
  );
}

function sourceName(track: TrackStats): string {
  switch (track.source) {
    case 'microphone':
      return 'Microphone';
    case 'camera':
      return 'Camera';
    case 'screen':
      return 'Screen';
    case 'screen_audio':
      return "Screen's sound";
    default:
      return track.kind === 'audio' ? 'Sound' : 'Picture';
  }
}

/** How packets get to the edge: `UDP, direct (host)`. */
function route({ local, remote }: TransportStats): string {
  if (!local || !remote) return '–';
  const way = local.type === 'relay' ? 'by TURN' : 'direct';
  return `${local.protocol.toUpperCase()}, ${way} (${local.type} → ${remote.type})`;
}

function figure(label: string, value: string, history: readonly number[]): HTMLElement {
  return h(
    'div',
    { class: 'figure' },
    h('span', {}, label),
    h('strong', {}, value),
    sparkline(history),
  );
}

function row(label: string, value: string): HTMLElement[] {
  return [h('dt', {}, label), h('dd', {}, value)];
}

function push(history: number[], value: number): void {
  history.push(value);
  if (history.length > HISTORY) history.shift();
}
