import { Emitter } from './emitter.ts';
import { MediaError, NotAllowed, type MediaProblem } from './errors.ts';
import type { PeerLike, Platform } from './platform.ts';
import type { Presence, Role, TrackSource } from './protocol.ts';
import { Publication, type PublicationOptions } from './publication.ts';

/** How a microphone or camera starts: off, on, on with that device, or on with that track. */
export type DeviceChoice = boolean | { deviceId: string } | MediaStreamTrack;

/** What to start with. */
export interface MediaOptions {
  microphone?: DeviceChoice;
  camera?: DeviceChoice;
}

/** What local media tells its owner. */
export interface LocalMediaEvents {
  /** A source was switched on or off, or has another track. */
  changed: TrackSource;
  /** The descriptions no longer say what is published. */
  negotiate: void;
  /** A device went away while it was in use. */
  error: MediaError;
}

/** What a camera is asked for: the size that the encodings are made for. */
export const CAMERA_CONSTRAINTS: MediaTrackConstraints = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 30 },
};

const MICROPHONE: MediaTrackConstraints = {
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
};

interface Source {
  track: MediaStreamTrack | undefined;
  deviceId: string | undefined;
  on: boolean;
}

/** The client's own microphone, camera and screen, over as many peer connections as it takes. */
export class LocalMedia extends Emitter<LocalMediaEvents> {
  readonly #platform: Platform;
  readonly #options: PublicationOptions;
  readonly #sources: Record<TrackSource, Source> = {
    microphone: off(),
    camera: off(),
    screen: off(),
    screen_audio: off(),
  };
  /** One for each peer connection: two while the client moves from one edge to another. */
  readonly #publications = new Set<Publication>();
  #handRaised = false;

  constructor(platform: Platform, options: PublicationOptions = {}) {
    super();
    this.#platform = platform;
    this.#options = options;
  }

  /** The presence that follows from what is on. */
  get presence(): Presence {
    return {
      audio_muted: !this.#sources.microphone.on,
      video_muted: !this.#sources.camera.on,
      hand_raised: this.#handRaised,
      screen_sharing: this.#sources.screen.on,
    };
  }

  /** Whether a hand is raised; kept here since it outlives a session, as the sources do. */
  set handRaised(raised: boolean) {
    this.#handRaised = raised;
  }

  /** Whether a source is on. */
  isOn(source: TrackSource): boolean {
    return this.#sources[source].on;
  }

  /** The track of a source; absent when it is off, save for a muted microphone. */
  track(source: TrackSource): MediaStreamTrack | undefined {
    return this.#sources[source].track;
  }

  /**
   * Takes the devices to start with. One that cannot be had stays off.
   *
   * @returns what could not be had, and why.
   */
  async start(options: MediaOptions): Promise<MediaError[]> {
    const errors: MediaError[] = [];
    for (const source of ['microphone', 'camera'] as const) {
      try {
        await this.set(source, options[source] ?? false);
      } catch (error) {
        if (!(error instanceof MediaError)) throw error;
        errors.push(error);
      }
    }
    return errors;
  }

  /**
   * Switches the microphone or the camera.
   *
   * A muted microphone keeps its device, so that unmuting is at once; a camera that is off lets
   * go of it, so that its light goes out.
   *
   * @throws MediaError when the device cannot be had; nothing has changed then.
   */
  async set(name: 'microphone' | 'camera', choice: DeviceChoice): Promise<void> {
    const source = this.#sources[name];
    if (choice === false) {
      source.on = false;
      if (name === 'microphone' && source.track) source.track.enabled = false;
      if (name === 'camera') await this.#put(name, undefined);
    } else if (choice === true && source.track?.readyState === 'live') {
      source.track.enabled = true;
      source.on = true;
    } else {
      const track = await this.#obtain(name, choice);
      source.deviceId = track.getSettings().deviceId ?? source.deviceId;
      await this.#put(name, track);
      source.on = true;
    }
    this.emit('changed', name);
  }

  /**
   * Uses another device: at once when the source is on, else when it is next switched on.
   *
   * @throws MediaError when the device cannot be had.
   */
  async choose(name: 'microphone' | 'camera', deviceId: string): Promise<void> {
    const source = this.#sources[name];
    if (source.on) {
      await this.set(name, { deviceId });
      return;
    }
    await this.#put(name, undefined);
    source.deviceId = deviceId;
  }

  /**
   * Shares a screen or window, with its sound where the browser offers that, or stops.
   *
   * @throws MediaError when the user declines, NotAllowed when the role does not publish screens.
   */
  async shareScreen(share: boolean, role: Role): Promise<void> {
    if (!share) {
      await this.#endScreen();
      return;
    }
    if (role !== 'host' && role !== 'speaker') {
      throw new NotAllowed(`the role ${role} does not share a screen: host or speaker is needed`);
    }
    const stream = await this.#platform
      .displayMedia({ video: { frameRate: { ideal: 15, max: 30 } }, audio: true })
      .catch((cause: unknown) => {
        throw mediaError('screen', cause);
      });
    const [video] = stream.getVideoTracks();
    const [audio] = stream.getAudioTracks();
    if (!video) throw new MediaError('missing', 'screen', 'the browser gave no picture');
    // Text must stay sharp: rather fewer frames than fewer pixels.
    video.contentHint = 'detail';
    await this.#put('screen', video);
    this.#sources.screen.on = true;
    if (audio) {
      await this.#put('screen_audio', audio);
      this.#sources.screen_audio.on = true;
    }
    this.emit('changed', 'screen');
    this.emit('negotiate', undefined);
  }

  /**
   * Publishes over `peer` too, until `unbind`: one m-line for the microphone and one for the camera,
   * also without a device, and those of a screen that is being shared.
   */
  bind(peer: PeerLike): Publication {
    const publication = new Publication(this.#platform, peer, this.#options);
    for (const [name, source] of this.#entries()) {
      const device = name === 'microphone' || name === 'camera';
      if (device || source.on) publication.open(name, source.track);
    }
    this.#publications.add(publication);
    return publication;
  }

  /** That peer connection is gone. */
  unbind(publication: Publication): void {
    this.#publications.delete(publication);
  }

  /** Lets go of every device. */
  stop(): void {
    for (const [, source] of this.#entries()) {
      release(source.track);
      source.track = undefined;
      source.on = false;
    }
  }

  async #obtain(
    name: 'microphone' | 'camera',
    choice: true | { deviceId: string } | MediaStreamTrack,
  ): Promise<MediaStreamTrack> {
    if (choice !== true && 'readyState' in choice) return choice;
    const deviceId = choice === true ? this.#sources[name].deviceId : choice.deviceId;
    const constraints = {
      ...(name === 'camera' ? CAMERA_CONSTRAINTS : MICROPHONE),
      // A device that was remembered may be unplugged by now; one that was asked for must be it.
      ...(deviceId && { deviceId: choice === true ? { ideal: deviceId } : { exact: deviceId } }),
    };
    try {
      const stream = await this.#platform.userMedia(
        name === 'camera' ? { video: constraints } : { audio: constraints },
      );
      const [track] = stream.getTracks();
      if (!track) throw new DOMException('no track', 'NotFoundError');
      return track;
    } catch (cause) {
      throw mediaError(name, cause);
    }
  }

  /** Makes `track` the source's own, in place of the one before. */
  async #put(name: TrackSource, track: MediaStreamTrack | undefined): Promise<void> {
    const source = this.#sources[name];
    if (source.track !== track) release(source.track);
    source.track = track;
    if (track) track.onended = () => void this.#ended(name, track);
    const puts = [...this.#publications].map((publication) => publication.put(name, track));
    if ((await Promise.all(puts)).includes(true)) this.emit('negotiate', undefined);
  }

  /** The device was unplugged, or the user ended the share in the browser's own bar. */
  async #ended(name: TrackSource, track: MediaStreamTrack): Promise<void> {
    if (this.#sources[name].track !== track) return;
    if (name === 'screen') {
      await this.#endScreen();
    } else if (name === 'screen_audio') {
      this.#sources[name].on = false;
    } else {
      await this.#put(name, undefined);
      this.#sources[name].on = false;
      this.emit('changed', name);
      this.emit('error', new MediaError('missing', name, `the ${name} was disconnected`));
    }
  }

  async #endScreen(): Promise<void> {
    if (!this.#sources.screen.on) return;
    for (const name of ['screen', 'screen_audio'] as const) {
      const source = this.#sources[name];
      source.on = false;
      await this.#put(name, undefined);
      for (const publication of this.#publications) publication.end(name);
    }
    this.emit('changed', 'screen');
    this.emit('negotiate', undefined);
  }

  #entries(): [TrackSource, Source][] {
    return Object.entries(this.#sources) as [TrackSource, Source][];
  }
}

function off(): Source {
  return { track: undefined, deviceId: undefined, on: false };
}

function release(track: MediaStreamTrack | undefined): void {
  if (!track) return;
  track.onended = null;
  track.stop();
}

const PROBLEMS: Record<string, [MediaProblem, string]> = {
  NotAllowedError: ['denied', 'may not be used: allow it in the browser'],
  SecurityError: ['insecure', 'can be used over HTTPS only'],
  NotFoundError: ['missing', 'was not found'],
  OverconstrainedError: ['missing', 'was not found'],
  NotReadableError: ['busy', 'is in use by another program'],
  AbortError: ['busy', 'is in use by another program'],
};

/** What a rejection of `getUserMedia` or `getDisplayMedia` means. */
export function mediaError(device: MediaError['device'], cause: unknown): MediaError {
  const name = cause instanceof Error || cause instanceof DOMException ? cause.name : '';
  const [problem, words] = PROBLEMS[name] ?? ['failed', 'cannot be used'];
  return new MediaError(problem, device, `the ${device} ${words}`, { cause });
}
