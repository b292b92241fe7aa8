import type {
  Participant,
  Quality,
  Room,
  TrackSource,
  Unsubscribe,
} from '../../../sdk/src/index.ts';
import { h } from '../dom.ts';
import { bestFit } from './grid.ts';
import { Tile, type TileSource } from './tile.ts';
import { Wishes } from './wishes.ts';

/** Pixels between tiles. */
const GAP = 10;

/** The tiles of a room, laid out so that they cover most of the area. */
export class Stage {
  readonly element: HTMLElement;
  readonly #room: Room;
  readonly #onSilenced: () => void;
  readonly #focus = area('focus');
  readonly #grid = area('grid');
  readonly #tiles = new Map<string, Tile>();
  readonly #observer = new ResizeObserver(() => this.#layout());
  readonly #subscriptions: Unsubscribe[];
  readonly #wishes: Wishes;

  /** `onSilenced` is called when the browser plays sound only after a click. */
  constructor(room: Room, onSilenced: () => void) {
    this.#room = room;
    this.#onSilenced = onSilenced;
    this.#wishes = new Wishes(room);
    this.element = h(
      'main',
      { class: 'stage', attr: { 'aria-label': 'Participants' } },
      this.#focus.element,
      this.#grid.element,
    );
    this.#subscriptions = [
      room.on('participantJoined', (participant) => this.#add(participant)),
      room.on('participantLeft', ({ participant }) => this.#remove(participant)),
      room.on('presenceChanged', (participant) => this.#update(participant)),
      room.on('trackSubscribed', ({ participant, track, mediaStreamTrack }) =>
        this.#play(participant, track.id, track.source, mediaStreamTrack),
      ),
      room.on('trackUnsubscribed', ({ participant, track }) =>
        this.#stop(participant, track.id, track.source),
      ),
      room.on('trackPaused', ({ participant, track }) => {
        if (isPicture(track.source)) this.#tile(participant.id, track.source)?.pause(track.paused);
      }),
      room.on('decryption', ({ participant, works }) =>
        this.#tile(participant.id, 'camera')?.unreadable(!works),
      ),
      room.on('speakers', (speakers) => this.#speak(speakers)),
      room.on('localMediaChanged', () => this.#showSelf()),
      room.on('connectionState', () => this.#showSelf()),
    ];
    for (const { element } of [this.#focus, this.#grid]) this.#observer.observe(element);
    this.#showSelf();
    for (const participant of room.participants.values()) this.#add(participant);
    this.#speak(room.speakers);
  }

  /** Shows how well each participant's media arrives. */
  showQuality(of: (participantId: string) => Quality): void {
    for (const participant of this.#room.participants.values()) {
      const quality = of(participant.id);
      this.#tile(participant.id, 'camera')?.quality(quality);
      this.#tile(participant.id, 'screen')?.quality(quality);
    }
  }

  /** Plays what the browser held back; to be called from a click. */
  resumeAudio(): void {
    for (const tile of this.#tiles.values()) tile.resumeAudio();
  }

  dispose(): void {
    this.#wishes.dispose();
    this.#observer.disconnect();
    for (const stop of this.#subscriptions) stop();
    for (const tile of this.#tiles.values()) tile.remove();
  }

  #add(participant: Participant): void {
    this.#ensure(participant, 'camera', false);
    for (const track of participant.tracks.values()) {
      const media = track.mediaStreamTrack;
      if (media) this.#play(participant, track.id, track.source, media);
    }
  }

  #remove(participant: Participant): void {
    this.#drop(participant.id, 'camera');
    this.#drop(participant.id, 'screen');
  }

  #update(participant: Participant): void {
    this.#tile(participant.id, 'camera')?.update(participant);
    this.#tile(participant.id, 'screen')?.update(participant);
  }

  #play(
    participant: Participant,
    trackId: string,
    source: TrackSource,
    media: MediaStreamTrack,
  ): void {
    if (isPicture(source)) {
      const tile = this.#ensure(participant, source, false);
      tile.showVideo(media, trackId);
      this.#wishes.watch(trackId, tile.element, source, participant.id);
      return;
    }
    const tile = this.#ensure(participant, 'camera', false);
    void tile.playAudio(media, trackId).then((plays) => {
      if (!plays) this.#onSilenced();
    });
  }

  #stop(participant: Participant, trackId: string, source: TrackSource): void {
    this.#wishes.unwatch(trackId);
    const tile = this.#tile(participant.id, source === 'screen' ? 'screen' : 'camera');
    if (!isPicture(source)) tile?.stopAudio(trackId);
    // Another picture may have taken its place.
    else if (tile?.trackId !== trackId) return;
    else if (source === 'screen') this.#drop(participant.id, 'screen');
    else tile.showVideo(undefined, '');
  }

  /** The own tile shows what is on here, whatever the edge knows of it yet. */
  #showSelf(): void {
    const self = this.#room.localParticipant;
    if (!self) return;
    for (const tile of this.#tiles.values()) {
      // A client that joined anew may be somebody else now.
      if (tile.self && tile.participantId !== self.id) this.#drop(tile.participantId, tile.source);
    }
    this.#ensure(self, 'camera', true).showVideo(this.#room.localTrack('camera'), 'local');
    if (this.#room.isOn('screen')) {
      this.#ensure(self, 'screen', true).showVideo(this.#room.localTrack('screen'), 'local-screen');
    } else {
      this.#drop(self.id, 'screen');
    }
  }

  #ensure(participant: Participant, source: TileSource, self: boolean): Tile {
    const key = `${participant.id}/${source}`;
    let tile = this.#tiles.get(key);
    if (!tile) {
      tile = new Tile(participant, source, self);
      this.#tiles.set(key, tile);
      (source === 'screen' ? this.#focus : this.#grid).tiles.append(tile.element);
      this.#layout();
    }
    return tile;
  }

  #tile(participantId: string, source: TileSource): Tile | undefined {
    return this.#tiles.get(`${participantId}/${source}`);
  }

  #drop(participantId: string, source: TileSource): void {
    this.#tile(participantId, source)?.remove();
    this.#tiles.delete(`${participantId}/${source}`);
    this.#layout();
  }

  #layout(): void {
    const layout = this.#focus.tiles.childElementCount > 0 ? 'focus' : 'grid';
    this.element.dataset['layout'] = layout;
    for (const { element, tiles } of [this.#focus, this.#grid]) {
      const fit = bestFit(element.clientWidth, element.clientHeight, tiles.childElementCount, GAP);
      // No wider than its columns, so that no row takes in one tile more.
      const used = fit.columns * fit.width + (fit.columns - 1) * GAP;
      tiles.style.setProperty('--width', `${used}px`);
      tiles.style.setProperty('--tile-width', `${fit.width}px`);
      tiles.style.setProperty('--tile-height', `${fit.height}px`);
      element.dataset['size'] = fit.width < 230 ? 'small' : 'large';
    }
  }

  #speak(speakers: readonly Participant[]): void {
    const speaking = new Set(speakers.map(({ id }) => id));
    for (const tile of this.#tiles.values()) {
      tile.speaking(tile.source === 'camera' && speaking.has(tile.participantId));
    }
    const others = speakers.filter(({ id }) => this.#room.participants.has(id));
    this.#wishes.dominate(others[0]?.id);
  }
}

/** A part of the stage, whose size does not depend on the tiles in it. */
interface Area {
  element: HTMLElement;
  tiles: HTMLElement;
}

function area(name: 'focus' | 'grid'): Area {
  const tiles = h('div', { class: 'tiles' });
  return { element: h('div', { class: name, data: { testid: name } }, tiles), tiles };
}

function isPicture(source: TrackSource): source is TileSource {
  return source === 'camera' || source === 'screen';
}
