import type { Participant, Room, Unsubscribe, WaitingParticipant } from '../../../sdk/src/index.ts';
import { announce, fill, h } from '../dom.ts';
import { hue, initials, regionName } from '../format.ts';
import { icon } from '../icons.ts';
import { sentence } from '../lobby.ts';

/** How often a host's page asks who waits, in milliseconds. */
const WAITING_MS = 3_000;

/** Who is in the meeting, where they are, and who wants in. */
export class People {
  readonly element: HTMLElement;
  readonly #room: Room;
  readonly #say: (text: string) => void;
  readonly #here = h('div', { data: { testid: 'people-panel' } });
  readonly #waiting = h('section', { attr: { hidden: true }, data: { testid: 'waiting' } });
  readonly #subscriptions: Unsubscribe[];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #waitingIds = '';
  #disposed = false;

  constructor(room: Room, host: boolean, inviteLink: string, say: (text: string) => void) {
    this.#room = room;
    this.#say = say;
    const copy = h(
      'button',
      { attr: { type: 'button' }, on: { click: () => void this.#copy(inviteLink) } },
      icon('link'),
      'Copy the join link',
    );
    this.element = h(
      'div',
      { class: 'people' },
      this.#waiting,
      this.#here,
      inviteLink ? copy : undefined,
    );
    const show = (): void => this.#show();
    this.#subscriptions = [
      room.on('participantJoined', show),
      room.on('participantLeft', show),
      room.on('presenceChanged', show),
      room.on('localMediaChanged', show),
    ];
    this.#show();
    if (host) void this.#ask();
  }

  dispose(): void {
    this.#disposed = true;
    clearTimeout(this.#timer);
    for (const stop of this.#subscriptions) stop();
  }

  #show(): void {
    const self = this.#room.localParticipant;
    const everybody = [...(self ? [self] : []), ...this.#room.participants.values()];
    const regions = new Map<string, Participant[]>();
    for (const participant of everybody) {
      regions.set(participant.region, [...(regions.get(participant.region) ?? []), participant]);
    }
    fill(
      this.#here,
      ...[...regions].map(([region, people]) =>
        h(
          'section',
          { data: { region } },
          h('h3', {}, regionName(region), h('span', { class: 'count' }, String(people.length))),
          h('ul', {}, ...people.map((one) => this.#row(one, one === self))),
        ),
      ),
    );
  }

  #row(participant: Participant, self: boolean): HTMLElement {
    const { presence, name, id } = participant;
    const avatar = h('span', { class: 'avatar', attr: { 'aria-hidden': true } }, initials(name));
    avatar.style.setProperty('--hue', String(hue(id)));
    const remove = h(
      'button',
      {
        class: 'quiet',
        attr: { type: 'button', 'aria-label': `Remove ${name}` },
        data: { testid: 'remove' },
        on: { click: () => this.#room.remove(id) },
      },
      'Remove',
    );
    return h(
      'li',
      { data: { participant: id } },
      avatar,
      h(
        'span',
        { class: 'person' },
        h('strong', {}, self ? `${name} (you)` : name),
        h('small', {}, participant.role === 'host' ? 'Host' : participant.edge),
      ),
      presence.hand_raised && state('hand', 'Hand raised'),
      presence.screen_sharing && state('screen', 'Sharing a screen'),
      presence.audio_muted && state('micOff', 'Muted'),
      presence.video_muted && state('cameraOff', 'Camera off'),
      !self && this.#room.admission.role === 'host' && remove,
    );
  }

  async #ask(): Promise<void> {
    try {
      this.#showWaiting(await this.#room.waiting());
    } catch {
      // The coordinator is away; the call goes on, and the next time it may be back.
    }
    if (!this.#disposed) this.#timer = setTimeout(() => void this.#ask(), WAITING_MS);
  }

  #showWaiting(waiting: WaitingParticipant[]): void {
    const ids = waiting.map((one) => one.participant_id).join();
    // Redrawn only when it changed, so that focus stays on its button.
    if (ids === this.#waitingIds) return;
    if (waiting.length > 0) announce(`${waiting.map((one) => one.name).join(', ')} want to join`);
    this.#waitingIds = ids;
    this.#waiting.hidden = waiting.length === 0;
    fill(
      this.#waiting,
      h('h3', {}, 'Waiting', h('span', { class: 'count' }, String(waiting.length))),
      h('ul', {}, ...waiting.map((one) => this.#waitingRow(one))),
    );
  }

  #waitingRow(one: WaitingParticipant): HTMLElement {
    const decide = (admit: boolean): void => {
      const decision = admit
        ? this.#room.admit(one.participant_id)
        : this.#room.deny(one.participant_id);
      decision.then(
        () => this.#showWaiting([]),
        (error: unknown) => this.#say(error instanceof Error ? sentence(error.message) : ''),
      );
    };
    const button = (label: string, admit: boolean): HTMLElement =>
      h(
        'button',
        {
          class: admit ? 'primary small' : 'quiet',
          attr: { type: 'button', 'aria-label': `${label} ${one.name}` },
          data: { testid: admit ? 'admit' : 'deny' },
          on: { click: () => decide(admit) },
        },
        label,
      );
    return h(
      'li',
      {},
      h('span', { class: 'person' }, h('strong', {}, one.name)),
      button('Admit', true),
      button('Deny', false),
    );
  }

  async #copy(link: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(link);
      this.#say('The join link is copied.');
    } catch {
      this.#say(link);
    }
  }
}

function state(name: 'hand' | 'screen' | 'micOff' | 'cameraOff', label: string): HTMLElement {
  return h(
    'span',
    { class: 'state', attr: { role: 'img', 'aria-label': label, title: label } },
    icon(name),
  );
}
