import { h } from './dom.ts';

/** Which device a select offers. */
export type DeviceName = 'microphone' | 'camera';

const LABEL: Record<DeviceName, string> = { microphone: 'Microphone', camera: 'Camera' };

/** A labelled list of the cameras or microphones at hand, kept up to date as they come and go. */
export class DeviceSelect {
  readonly element: HTMLElement;
  readonly #name: DeviceName;
  readonly #select: HTMLSelectElement;
  readonly #refresh = (): void => void this.refresh();

  constructor(name: DeviceName, onChoice: (deviceId: string) => void) {
    this.#name = name;
    this.#select = h('select', {
      attr: { 'data-testid': `${name}-select` },
      on: { change: () => onChoice(this.#select.value) },
    });
    this.element = h('label', { class: 'field' }, h('span', {}, LABEL[name]), this.#select);
    navigator.mediaDevices?.addEventListener('devicechange', this.#refresh);
    void this.refresh();
  }

  /** Reads the list anew; `current` is chosen in it. Names are known once access was granted. */
  async refresh(current = this.#select.value): Promise<void> {
    const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    const kind = this.#name === 'camera' ? 'videoinput' : 'audioinput';
    const devices = all.filter((device) => device.kind === kind);
    this.#select.replaceChildren(
      ...devices.map((device, i) =>
        h(
          'option',
          { attr: { value: device.deviceId } },
          device.label || `${LABEL[this.#name]} ${i + 1}`,
        ),
      ),
    );
    if (devices.length === 0) this.#select.append(h('option', {}, `No ${this.#name} found`));
    this.#select.disabled = devices.length === 0;
    if (devices.some((device) => device.deviceId === current)) this.#select.value = current;
  }

  /** Stops watching for devices. */
  dispose(): void {
    navigator.mediaDevices?.removeEventListener('devicechange', this.#refresh);
  }
}
