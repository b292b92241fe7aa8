import { CAMERA_CONSTRAINTS, mediaError, type MediaOptions } from '../../sdk/src/index.ts';
import { rememberedName, rememberName, type Route } from './config.ts';
import { DeviceSelect, type DeviceName } from './device-select.ts';
import { fill, h, setText, type View } from './dom.ts';
import { icon } from './icons.ts';
import { MicMeter } from './mic-meter.ts';

/** What the lobby hands to the call. */
export interface Entry {
  name: string;
  media: MediaOptions;
}

const DEVICES: readonly DeviceName[] = ['microphone', 'camera'];

/** The room before the room: a name, the devices, and how they look and sound. */
export class Lobby implements View {
  readonly element: HTMLElement;
  readonly #onJoin: (entry: Entry) => void;
  readonly #name: HTMLInputElement;
  readonly #video: HTMLVideoElement;
  readonly #placeholder: HTMLElement;
  readonly #problem: HTMLElement;
  readonly #meterBar: HTMLElement;
  readonly #meter = new MicMeter();
  readonly #tracks: Record<DeviceName, MediaStreamTrack | undefined>;
  readonly #wanted: Record<DeviceName, boolean>;
  readonly #selects: Record<DeviceName, DeviceSelect>;
  readonly #toggles: Record<DeviceName, HTMLButtonElement>;
  #frame = 0;
  #disposed = false;

  constructor(route: Route, problem: string | undefined, onJoin: (entry: Entry) => void) {
    this.#onJoin = onJoin;
    this.#tracks = { microphone: undefined, camera: undefined };
    this.#wanted = { microphone: route.audio, camera: route.video };
    this.#name = h('input', {
      attr: {
        id: 'name',
        maxlength: 80,
        autocomplete: 'name',
        required: true,
        placeholder: 'Your name',
        'data-testid': 'name',
      },
    });
    this.#name.value = route.name || rememberedName();
    this.#video = h('video', {
      attr: { autoplay: true, playsinline: true, 'aria-label': 'Preview of your camera' },
    });
    this.#video.muted = true;
    this.#placeholder = h('p', { class: 'preview-note' }, 'Starting your camera…');
    this.#problem = h('p', { class: 'problem', attr: { role: 'alert' } }, problem);
    this.#meterBar = h('span', { class: 'meter-bar' });
    this.#selects = {
      microphone: this.#select('microphone'),
      camera: this.#select('camera'),
    };
    this.#toggles = { microphone: this.#toggle('microphone'), camera: this.#toggle('camera') };
    this.element = this.#layout(route.key !== undefined);
    for (const device of DEVICES) {
      if (this.#wanted[device]) void this.#start(device, undefined);
      this.#show(device);
    }
    this.#frame = requestAnimationFrame(() => this.#measure());
  }

  dispose(): void {
    this.#disposed = true;
    cancelAnimationFrame(this.#frame);
    this.#meter.close();
    for (const device of DEVICES) {
      this.#selects[device].dispose();
      this.#tracks[device]?.stop();
    }
  }

  #layout(encrypted: boolean): HTMLElement {
    const form = h(
      'form',
      { class: 'card', on: { submit: (event) => this.#submit(event) } },
      h('h1', {}, 'Ready to join?'),
      encrypted &&
        h(
          'p',
          { class: 'encrypted-hint', data: { testid: 'encrypted' } },
          icon('lock'),
          'End-to-end encrypted: only those with your link can see, hear and read.',
        ),
      h('label', { class: 'field' }, h('span', {}, 'Your name'), this.#name),
      this.#selects.camera.element,
      this.#selects.microphone.element,
      h(
        'div',
        { class: 'meter', attr: { 'aria-hidden': true, 'data-testid': 'mic-level' } },
        icon('mic'),
        h('span', { class: 'meter-track' }, this.#meterBar),
      ),
      this.#problem,
      h(
        'button',
        { class: 'primary', attr: { type: 'submit', 'data-testid': 'join' } },
        'Join the meeting',
      ),
    );
    const preview = h(
      'div',
      { class: 'preview' },
      this.#video,
      this.#placeholder,
      h('div', { class: 'preview-controls' }, this.#toggles.microphone, this.#toggles.camera),
    );
    return h('main', { class: 'lobby' }, preview, form);
  }

  #select(device: DeviceName): DeviceSelect {
    return new DeviceSelect(device, (deviceId) => {
      this.#wanted[device] = true;
      void this.#start(device, deviceId);
    });
  }

  #toggle(device: DeviceName): HTMLButtonElement {
    return h('button', {
      class: 'round',
      attr: { type: 'button', 'data-testid': `lobby-${device}` },
      on: {
        click: () => {
          this.#wanted[device] = !this.#wanted[device];
          if (this.#wanted[device]) void this.#start(device, undefined);
          else this.#stop(device);
        },
      },
    });
  }

  async #start(device: DeviceName, deviceId: string | undefined): Promise<void> {
    const constraints = {
      ...(device === 'camera' && CAMERA_CONSTRAINTS),
      ...(deviceId && { deviceId: { exact: deviceId } }),
    };
    let track: MediaStreamTrack | undefined;
    try {
      const stream = await navigator.mediaDevices.getUserMedia(
        device === 'camera' ? { video: constraints } : { audio: constraints },
      );
      track = stream.getTracks()[0];
    } catch (cause) {
      this.#wanted[device] = false;
      setText(this.#problem, sentence(mediaError(device, cause).message));
    }
    if (this.#disposed || !this.#wanted[device]) {
      track?.stop();
    } else {
      this.#tracks[device]?.stop();
      this.#tracks[device] = track;
    }
    if (this.#disposed) return;
    this.#show(device);
    for (const name of DEVICES) {
      void this.#selects[name].refresh(this.#tracks[name]?.getSettings().deviceId);
    }
  }

  #stop(device: DeviceName): void {
    this.#tracks[device]?.stop();
    this.#tracks[device] = undefined;
    this.#show(device);
  }

  #show(device: DeviceName): void {
    const on = this.#wanted[device];
    const button = this.#toggles[device];
    fill(button, icon(device === 'camera' ? (on ? 'camera' : 'cameraOff') : on ? 'mic' : 'micOff'));
    button.setAttribute('aria-label', `${on ? 'Turn off' : 'Turn on'} the ${device}`);
    button.setAttribute('aria-pressed', String(on));
    const track = this.#tracks[device];
    if (device === 'microphone') {
      this.#meter.listen(track);
      return;
    }
    this.#video.srcObject = track ? new MediaStream([track]) : null;
    this.#placeholder.hidden = track !== undefined;
    setText(this.#placeholder, on ? 'Starting your camera…' : 'Your camera is off');
  }

  #measure(): void {
    this.#meterBar.style.setProperty('--level', this.#meter.level().toFixed(3));
    this.#frame = requestAnimationFrame(() => this.#measure());
  }

  #submit(event: Event): void {
    event.preventDefault();
    const name = this.#name.value.trim();
    if (!name) return;
    rememberName(name);
    const media = {
      microphone: this.#tracks.microphone ?? false,
      camera: this.#tracks.camera ?? false,
    };
    // The call owns the devices now.
    this.#tracks.microphone = this.#tracks.camera = undefined;
    this.#onJoin({ name, media });
  }
}

/** A message as a sentence of its own. */
export function sentence(message: string): string {
  return message.charAt(0).toUpperCase() + message.slice(1) + (/[.?!]$/.test(message) ? '' : '.');
}
