import { quality, type MediaError, type Room, type Unsubscribe } from '../../../sdk/src/index.ts';
import { parseRoute } from '../config.ts';
import { DeviceSelect, type DeviceName } from '../device-select.ts';
import { announce, fill, h, setText, type View } from '../dom.ts';
import { leftWords, regionName } from '../format.ts';
import { icon } from '../icons.ts';
import { sentence } from '../lobby.ts';
import { Chat } from './chat.ts';
import { People } from './people.ts';
import { Stage } from './stage.ts';
import { Statistics } from './statistics.ts';
import { Toolbar, type Action } from './toolbar.ts';

/** How often figures are read, in milliseconds. */
const STATS_MS = 1_000;

/** How long a note stays, in milliseconds. */
const NOTE_MS = 6_000;

/** The panels, with their headings. */
const PANELS = { chat: 'Chat', people: 'People', statistics: 'Statistics' } as const;

type PanelName = keyof typeof PANELS;

/** What the call needs to know besides the room. */
export interface CallOptions {
  /** Whether the page has the host key. */
  host: boolean;
}

/** The meeting itself: the stage, the controls and the panels. */
export class Call implements View {
  readonly element: HTMLElement;
  readonly #room: Room;
  readonly #stage: Stage;
  readonly #toolbar: Toolbar;
  readonly #chat: Chat;
  readonly #people: People;
  readonly #statistics: Statistics;
  readonly #banner: HTMLElement;
  readonly #notes: HTMLElement;
  readonly #panel: HTMLElement;
  readonly #devices: HTMLDialogElement;
  readonly #selects: DeviceSelect[];
  readonly #subscriptions: Unsubscribe[];
  readonly #statsTimer: ReturnType<typeof setInterval>;
  #open: PanelName | undefined;
  #handRaised = false;

  constructor(room: Room, options: CallOptions) {
    this.#room = room;
    this.#banner = h('div', {
      class: 'banner',
      data: { testid: 'banner' },
      attr: { role: 'status', hidden: true },
    });
    this.#notes = h('div', { class: 'notes', data: { testid: 'notes' } });
    this.#panel = h('aside', {
      class: 'panel',
      attr: { hidden: true },
      on: { keydown: (event) => this.#panelKey(event) },
    });
    this.#stage = new Stage(room, () => this.#askForClick());
    this.#chat = new Chat(room, (text) => this.say(text));
    this.#chat.onUnread = (count) => this.#toolbar.count('chat', count);
    this.#people = new People(room, options.host, inviteLink(), (text) => this.say(text));
    this.#statistics = new Statistics(room);
    this.#selects = [this.#deviceSelect('camera'), this.#deviceSelect('microphone')];
    this.#devices = this.#deviceDialog();
    this.#toolbar = new Toolbar(actions(room), (action) => void this.#run(action));
    this.element = h(
      'div',
      { class: 'call' },
      this.#banner,
      h('div', { class: 'call-body' }, this.#stage.element, this.#panel),
      this.#notes,
      this.#toolbar.element,
      room.encrypted && encryptedChip(),
      this.#devices,
    );
    this.#subscriptions = this.#subscribe();
    this.#statsTimer = setInterval(() => void this.#readStats(), STATS_MS);
    this.#showControls();
  }

  dispose(): void {
    clearInterval(this.#statsTimer);
    for (const stop of this.#subscriptions) stop();
    for (const select of this.#selects) select.dispose();
    this.#stage.dispose();
    this.#chat.dispose();
    this.#people.dispose();
    this.#toolbar.dispose();
  }

  /** Shows a note for a while, and says it. */
  say(text: string): void {
    const note = h('p', { class: 'note' }, text);
    this.#notes.append(note);
    announce(text);
    setTimeout(() => note.remove(), NOTE_MS);
  }

  #subscribe(): Unsubscribe[] {
    const room = this.#room;
    const hands = new Set<string>();
    return [
      room.on('participantJoined', ({ name, region }) =>
        announce(`${name} joined from ${regionName(region)}`),
      ),
      room.on('participantLeft', ({ participant, reason }) =>
        announce(`${participant.name} ${leftWords(reason)}`),
      ),
      room.on('presenceChanged', ({ id, name, presence }) => {
        if (!presence.hand_raised) hands.delete(id);
        if (!presence.hand_raised || hands.has(id) || id === room.localParticipant?.id) return;
        hands.add(id);
        announce(`${name} raised a hand`);
      }),
      room.on('localMediaChanged', () => this.#showControls()),
      room.on('connectionState', (state) => {
        const cut = state === 'reconnecting';
        this.#banner.hidden = !cut;
        setText(this.#banner, cut ? 'Connection lost. Reconnecting…' : '');
        announce(cut ? 'Connection lost. Reconnecting' : 'Connected again');
      }),
    ];
  }

  async #run(action: Action): Promise<void> {
    const room = this.#room;
    try {
      switch (action) {
        case 'microphone':
          await room.setMicrophone(!room.isOn('microphone'));
          announce(room.isOn('microphone') ? 'Microphone on' : 'Microphone muted');
          break;
        case 'camera':
          await room.setCamera(!room.isOn('camera'));
          announce(room.isOn('camera') ? 'Camera on' : 'Camera off');
          break;
        case 'screen':
          await room.shareScreen(!room.isOn('screen'));
          break;
        case 'hand':
          this.#handRaised = !this.#handRaised;
          room.raiseHand(this.#handRaised);
          announce(this.#handRaised ? 'Hand raised' : 'Hand lowered');
          break;
        case 'chat':
        case 'people':
        case 'statistics':
          this.#toggle(action);
          break;
        case 'devices':
          this.#showDevices();
          break;
        case 'leave':
          room.leave();
          return;
      }
    } catch (error) {
      if (!isDeclinedShare(action, error)) {
        this.say(error instanceof Error ? sentence(error.message) : String(error));
      }
    }
    this.#showControls();
  }

  #showControls(): void {
    for (const source of ['microphone', 'camera', 'screen'] as const) {
      this.#toolbar.set(source, this.#room.isOn(source));
    }
    this.#toolbar.set('hand', this.#handRaised);
    for (const name of Object.keys(PANELS) as PanelName[]) {
      this.#toolbar.set(name, this.#open === name);
    }
  }

  #toggle(name: PanelName): void {
    this.#open = this.#open === name ? undefined : name;
    this.#panel.hidden = this.#open === undefined;
    this.#chat.read(this.#open === 'chat');
    if (!this.#open) return;
    const title = PANELS[name];
    const close = h(
      'button',
      {
        class: 'quiet square',
        attr: { type: 'button', 'aria-label': `Close ${title.toLowerCase()}` },
        on: { click: () => void this.#run(name) },
      },
      icon('close'),
    );
    this.#panel.setAttribute('aria-label', title);
    const contents = { chat: this.#chat, people: this.#people, statistics: this.#statistics };
    fill(this.#panel, h('header', {}, h('h2', {}, title), close), contents[name].element);
    if (name === 'chat') this.#chat.focus();
    if (name === 'statistics') void this.#readStats();
  }

  #panelKey(event: KeyboardEvent): void {
    const name = this.#open;
    if (event.key !== 'Escape' || !name) return;
    event.preventDefault();
    void this.#run(name);
    this.#toolbar.focus(name);
  }

  async #readStats(): Promise<void> {
    const stats = await this.#room.stats();
    this.#stage.showQuality((id) =>
      quality(stats.tracks.filter((track) => track.participantId === id)),
    );
    this.#statistics.show(stats);
  }

  #askForClick(): void {
    if (this.#notes.querySelector('button')) return;
    const button = h(
      'button',
      {
        class: 'note primary',
        attr: { type: 'button' },
        on: {
          click: () => {
            this.#stage.resumeAudio();
            button.remove();
          },
        },
      },
      icon('sound'),
      'Turn on the sound',
    );
    this.#notes.append(button);
  }

  #deviceSelect(device: DeviceName): DeviceSelect {
    return new DeviceSelect(device, (deviceId) => {
      this.#room.chooseDevice(device, deviceId).catch((error: MediaError) => {
        this.say(sentence(error.message));
      });
    });
  }

  #deviceDialog(): HTMLDialogElement {
    const done = h('button', { class: 'primary', attr: { type: 'submit' } }, 'Done');
    const fields = this.#selects.map((select) => select.element);
    return h(
      'dialog',
      { class: 'card', attr: { 'aria-label': 'Devices' } },
      h('form', { attr: { method: 'dialog' } }, h('h2', {}, 'Devices'), ...fields, done),
    );
  }

  #showDevices(): void {
    for (const [i, source] of (['camera', 'microphone'] as const).entries()) {
      const used = this.#room.localTrack(source)?.getSettings().deviceId;
      void this.#selects[i]?.refresh(used);
    }
    this.#devices.showModal();
  }
}

function actions(room: Room): Action[] {
  const { role } = room.admission;
  const publishes: Action[] = role === 'viewer' ? [] : ['microphone', 'camera'];
  const shares: Action[] = role === 'host' || role === 'speaker' ? ['screen'] : [];
  const devices: Action[] = publishes.length > 0 ? ['devices'] : [];
  return [...publishes, ...shares, 'hand', 'chat', 'people', 'statistics', ...devices, 'leave'];
}

/** The address to send to others: the page's own, without what is the user's alone. */
function inviteLink(): string {
  if (location.pathname.split('/').length <= 3) return '';
  const { key } = parseRoute(location);
  const fragment = key === undefined ? '' : `#${new URLSearchParams({ key })}`;
  return location.origin + location.pathname + fragment;
}

function encryptedChip(): HTMLElement {
  return h(
    'p',
    {
      class: 'encrypted-chip',
      data: { testid: 'encrypted' },
      attr: { title: 'Only those with the link can see, hear and read' },
    },
    icon('lock'),
    h('span', {}, 'End-to-end encrypted'),
  );
}

/** Somebody who closes the browser's picker knows that nothing is shared. */
function isDeclinedShare(action: Action, error: unknown): boolean {
  return action === 'screen' && (error as Partial<MediaError>).problem === 'denied';
}
