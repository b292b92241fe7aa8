import type { Participant, Quality } from '../../../sdk/src/index.ts';
import { fill, h, setText } from '../dom.ts';
import { hue, initials, regionName } from '../format.ts';
import { icon } from '../icons.ts';

/** What a tile shows: a participant's camera, or its screen. */
export type TileSource = 'camera' | 'screen';

/** How long a picture stays when none comes of the one that takes its place. */
const CHANGE_MS = 2_000;

const QUALITY_WORDS: Record<Quality, string> = {
  good: 'Good connection',
  fair: 'Fair connection',
  poor: 'Poor connection',
  none: 'Nothing received yet',
};

/** One rectangle on the stage. */
export class Tile {
  readonly element: HTMLElement;
  readonly source: TileSource;
  readonly participantId: string;
  /** Whether it shows the user itself. */
  readonly self: boolean;
  #video: HTMLVideoElement;
  /** Takes the place of `#video` once it has a picture. */
  #next: HTMLVideoElement | undefined;
  readonly #avatar: HTMLElement;
  readonly #name: HTMLElement;
  readonly #region: HTMLElement;
  readonly #muted: HTMLElement;
  readonly #hand: HTMLElement;
  readonly #quality: HTMLElement;
  readonly #note: HTMLElement;
  #paused = false;
  #unreadable = false;
  readonly #audios = new Map<string, HTMLAudioElement>();

  constructor(participant: Participant, source: TileSource, self: boolean) {
    this.source = source;
    this.participantId = participant.id;
    this.self = self;
    this.#video = player();
    this.#avatar = h('span', { class: 'avatar', attr: { 'aria-hidden': true } });
    this.#name = h('span', { class: 'tile-name' });
    this.#region = h('span', { class: 'badge', data: { testid: 'region' } });
    this.#muted = h('span', { class: 'tile-muted', attr: { title: 'Muted' } }, icon('micOff'));
    this.#hand = h(
      'span',
      { class: 'tile-hand', data: { testid: 'tile-hand' }, attr: { title: 'Hand raised' } },
      icon('hand'),
    );
    this.#quality = h(
      'span',
      { class: 'bars', data: { testid: 'quality', quality: 'none' }, attr: { role: 'img' } },
      h('i'),
      h('i'),
      h('i'),
    );
    this.#note = h('p', {
      class: 'tile-note',
      data: { testid: 'tile-note' },
      attr: { role: 'status', hidden: true },
    });
    this.element = h(
      'article',
      {
        class: 'tile',
        data: { testid: 'tile', participant: participant.id, source, self: String(self) },
      },
      this.#avatar,
      this.#video,
      h(
        'footer',
        { class: 'tile-label' },
        this.#muted,
        this.#name,
        this.#region,
        self ? undefined : this.#quality,
      ),
      this.#hand,
      this.#note,
    );
    this.element.style.setProperty('--hue', String(hue(participant.id)));
    this.update(participant);
    this.quality('none');
  }

  /** Shows the participant as it is now. */
  update(participant: Participant): void {
    const { presence } = participant;
    const screen = this.source === 'screen';
    const name = participant.name + (this.self ? ' (you)' : '');
    const region = regionName(participant.region);
    setText(this.#name, screen ? `${name}: screen` : name);
    setText(this.#region, region);
    setText(this.#avatar, initials(participant.name));
    this.#muted.hidden = screen || !presence.audio_muted;
    this.#hand.hidden = screen || !presence.hand_raised;
    this.element.dataset['region'] = participant.region;
    this.element.dataset['muted'] = String(presence.audio_muted);
    this.element.dataset['hand'] = String(presence.hand_raised);
    this.element.dataset['video'] = String(screen || !presence.video_muted);
    this.element.setAttribute('aria-label', `${screen ? `Screen of ${name}` : name}, ${region}`);
  }

  /** Of which track it shows the picture; absent when of none. */
  get trackId(): string | undefined {
    return (this.#next ?? this.#video).dataset['trackId'];
  }

  /** Plays a picture, or none. One that takes another's place does so without a gap. */
  showVideo(track: MediaStreamTrack | undefined, trackId: string): void {
    if (!track) {
      end(this.#next);
      end(this.#video);
      this.#next = undefined;
      return;
    }
    const current = this.#next ?? this.#video;
    if (plays(current) === track) return;
    const video = plays(this.#video) ? player() : this.#video;
    video.srcObject = new MediaStream([track]);
    video.dataset['trackId'] = trackId;
    if (video === this.#video) return;
    end(this.#next);
    this.#next = video;
    const change = (): void => {
      if (this.#next !== video) return;
      this.#next = undefined;
      this.#video.replaceWith(video);
      end(this.#video);
      this.#video = video;
    };
    video.addEventListener('loadeddata', change);
    setTimeout(change, CHANGE_MS);
  }

  /**
   * Plays a sound beside those that play.
   *
   * @returns whether the browser plays it; some want a click first.
   */
  async playAudio(track: MediaStreamTrack, trackId: string): Promise<boolean> {
    this.stopAudio(trackId);
    const audio = h('audio', { attr: { autoplay: true, 'data-track-id': trackId } });
    audio.srcObject = new MediaStream([track]);
    this.#audios.set(trackId, audio);
    this.element.append(audio);
    try {
      await audio.play();
      return true;
    } catch (error) {
      return !(error instanceof DOMException && error.name === 'NotAllowedError');
    }
  }

  /** Ends a sound. */
  stopAudio(trackId: string): void {
    const audio = this.#audios.get(trackId);
    if (!audio) return;
    audio.srcObject = null;
    audio.remove();
    this.#audios.delete(trackId);
  }

  /** Plays again what the browser held back; to be called from a click. */
  resumeAudio(): void {
    for (const audio of this.#audios.values()) {
      audio.play().catch(() => {
        // Still held back: the note that asks for a click stays.
      });
    }
  }

  /** Shows whether the edge holds the picture back, since the network cannot carry it. */
  pause(paused: boolean): void {
    this.#paused = paused;
    this.element.dataset['paused'] = String(paused);
    this.#showNote();
  }

  /** Shows whether the participant's key is another. */
  unreadable(unreadable: boolean): void {
    this.#unreadable = unreadable;
    this.#showNote();
  }

  /** Shows whether the participant speaks. */
  speaking(speaks: boolean): void {
    this.element.dataset['speaking'] = String(speaks);
  }

  /** Shows how well the participant's media arrives. */
  quality(quality: Quality): void {
    this.#quality.dataset['quality'] = quality;
    this.#quality.setAttribute('aria-label', QUALITY_WORDS[quality]);
    this.#quality.title = QUALITY_WORDS[quality];
  }

  #showNote(): void {
    const paused = this.#paused && 'Video paused: slow network';
    const text = this.#unreadable ? 'Encrypted with another key' : paused || '';
    this.#note.hidden = !text;
    setText(this.#note, text);
  }

  /** Leaves the stage. */
  remove(): void {
    for (const id of [...this.#audios.keys()]) this.stopAudio(id);
    end(this.#next);
    end(this.#video);
    fill(this.element);
    this.element.remove();
  }
}

/** Where a picture is played. */
function player(): HTMLVideoElement {
  const video = h('video', { attr: { autoplay: true, playsinline: true } });
  // The sound of a tile has elements of its own, so that a paused picture does not silence it.
  video.muted = true;
  return video;
}

/** The picture that an element plays, if it does. */
function plays({ srcObject }: HTMLVideoElement): MediaStreamTrack | undefined {
  return srcObject instanceof MediaStream ? srcObject.getTracks()[0] : undefined;
}

function end(video: HTMLVideoElement | undefined): void {
  if (!video) return;
  video.srcObject = null;
  delete video.dataset['trackId'];
}
