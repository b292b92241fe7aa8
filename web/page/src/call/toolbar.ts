import { fill, h } from '../dom.ts';
import { icon, type IconName } from '../icons.ts';

/** What the toolbar's buttons do. */
export type Action =
  | 'microphone'
  | 'camera'
  | 'screen'
  | 'hand'
  | 'chat'
  | 'people'
  | 'statistics'
  | 'devices'
  | 'leave';

interface ButtonText {
  icon: IconName;
  /** While it is off. */
  iconOff?: IconName;
  label: string;
  /** The label while it is on, or pressed. */
  labelOn?: string;
  key: string;
}

const BUTTONS: Record<Action, ButtonText> = {
  microphone: { icon: 'mic', iconOff: 'micOff', label: 'Unmute', labelOn: 'Mute', key: 'M' },
  camera: {
    icon: 'camera',
    iconOff: 'cameraOff',
    label: 'Start video',
    labelOn: 'Stop video',
    key: 'V',
  },
  screen: { icon: 'screen', label: 'Share screen', labelOn: 'Stop sharing', key: 'S' },
  hand: { icon: 'hand', label: 'Raise hand', labelOn: 'Lower hand', key: 'H' },
  chat: { icon: 'chat', label: 'Chat', key: 'C' },
  people: { icon: 'people', label: 'People', key: 'P' },
  statistics: { icon: 'stats', label: 'Statistics', key: 'I' },
  devices: { icon: 'devices', label: 'Devices', key: 'D' },
  leave: { icon: 'leave', label: 'Leave', key: 'Shift+L' },
};

/** The buttons of a call, and their keys. */
export class Toolbar {
  readonly element: HTMLElement;
  readonly #run: (action: Action) => void;
  readonly #buttons = new Map<Action, HTMLButtonElement>();
  readonly #on = new Map<Action, boolean>();
  /** How much is new behind a button. */
  readonly #counts = new Map<Action, number>();
  readonly #onKey = (event: KeyboardEvent): void => this.#key(event);

  constructor(actions: readonly Action[], run: (action: Action) => void) {
    this.#run = run;
    for (const action of actions) this.#buttons.set(action, this.#button(action));
    this.element = h(
      'nav',
      { class: 'toolbar', attr: { 'aria-label': 'Call controls' } },
      ...this.#buttons.values(),
    );
    document.addEventListener('keydown', this.#onKey);
  }

  /** Shows whether something is on. */
  set(action: Action, on: boolean): void {
    const button = this.#buttons.get(action);
    if (!button) return;
    this.#on.set(action, on);
    const count = this.#counts.get(action) ?? 0;
    const text = BUTTONS[action];
    const label = on ? (text.labelOn ?? text.label) : text.label;
    const shown = on ? text.icon : (text.iconOff ?? text.icon);
    fill(
      button,
      icon(shown),
      h('span', { class: 'button-label' }, label),
      count > 0 &&
        h('span', { class: 'count-badge', data: { testid: `${action}-count` } }, countText(count)),
    );
    button.dataset['on'] = String(on);
    button.setAttribute('aria-label', count > 0 ? `${label}, ${count} unread` : label);
    button.setAttribute('aria-keyshortcuts', text.key);
    button.title = `${label} (${text.key})`;
    // Where the label says it all, a pressed state would say it twice.
    if (!text.labelOn && action !== 'leave') button.setAttribute('aria-pressed', String(on));
  }

  /** Shows how much is new behind a button. */
  count(action: Action, count: number): void {
    this.#counts.set(action, count);
    this.set(action, this.#on.get(action) ?? false);
  }

  /** Gives a button the focus. */
  focus(action: Action): void {
    this.#buttons.get(action)?.focus();
  }

  dispose(): void {
    document.removeEventListener('keydown', this.#onKey);
  }

  #button(action: Action): HTMLButtonElement {
    const button = h('button', {
      class: 'tool',
      data: { testid: action, action },
      attr: { type: 'button' },
      on: { click: () => this.#run(action) },
    });
    this.#buttons.set(action, button);
    this.set(action, false);
    return button;
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const target = event.target;
    if (target instanceof Element && target.closest('input, select, textarea, dialog')) return;
    const pressed = (event.shiftKey ? 'Shift+' : '') + event.key.toUpperCase();
    for (const action of this.#buttons.keys()) {
      if (BUTTONS[action].key !== pressed) continue;
      event.preventDefault();
      this.#run(action);
    }
  }
}

/** More than fits on a button is many. */
function countText(count: number): string {
  return count > 99 ? '99+' : String(count);
}
