import type { DataMessage, Room, Unsubscribe } from '../../../sdk/src/index.ts';
import { announce, fill, h } from '../dom.ts';
import { icon } from '../icons.ts';
import { sentence } from '../lobby.ts';
import { CHAT_TOPIC, HISTORY_MAX, TEXT_MAX, decodeText, encodeText } from './messages.ts';

/** Closer to the end than this, in pixels, the log follows what comes in. */
const AT_END = 40;

interface Line {
  who: string;
  /** For whom, when it was not for all. */
  whom: string | undefined;
  text: string;
  own: boolean;
}

/** What the participants write to each other. What was written before one joined is not told. */
export class Chat {
  readonly element: HTMLElement;
  /** How many messages came in since the chat was last looked at. */
  onUnread: (count: number) => void = () => {};
  readonly #room: Room;
  readonly #say: (text: string) => void;
  readonly #log: HTMLElement;
  readonly #empty: HTMLElement;
  readonly #to: HTMLSelectElement;
  readonly #text: HTMLTextAreaElement;
  readonly #subscriptions: Unsubscribe[];
  #reading = false;
  #unread = 0;

  constructor(room: Room, say: (text: string) => void) {
    this.#room = room;
    this.#say = say;
    this.#log = h('ol', {
      class: 'chat-log',
      data: { testid: 'chat-log' },
      attr: { role: 'log', 'aria-live': 'polite', 'aria-label': 'Messages', tabindex: 0 },
    });
    this.#empty = h(
      'p',
      { class: 'faint chat-empty' },
      'No messages yet. Who joins later does not see what was written before.',
    );
    this.#to = h('select', { attr: { 'aria-label': 'To', 'data-testid': 'chat-to' } });
    this.#text = h('textarea', {
      attr: {
        rows: 2,
        maxlength: TEXT_MAX,
        placeholder: 'Write a message',
        'aria-label': 'Message',
        enterkeyhint: 'send',
        'data-testid': 'chat-text',
      },
      on: { keydown: (event) => this.#key(event) },
    });
    this.element = h(
      'div',
      { class: 'chat', data: { testid: 'chat-panel' } },
      this.#empty,
      this.#log,
      this.#form(),
    );
    const choose = (): void => this.#showReceivers();
    this.#subscriptions = [
      room.on('data', (message) => this.#receive(message)),
      room.on('participantJoined', choose),
      room.on('participantLeft', choose),
    ];
    this.#showReceivers();
  }

  /** The chat is looked at from now on, or no more. */
  read(reading: boolean): void {
    this.#reading = reading;
    if (reading) this.#count(0);
  }

  /** Gets ready to write. */
  focus(): void {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#text.focus();
  }

  dispose(): void {
    for (const stop of this.#subscriptions) stop();
  }

  #form(): HTMLFormElement {
    const send = h(
      'button',
      {
        class: 'primary square',
        attr: { type: 'submit', 'aria-label': 'Send', 'data-testid': 'chat-send' },
      },
      icon('send'),
    );
    return h(
      'form',
      {
        class: 'chat-form',
        on: {
          submit: (event) => {
            event.preventDefault();
            this.#send();
          },
        },
      },
      h('label', { class: 'chat-to' }, h('span', {}, 'To'), this.#to),
      h('div', { class: 'chat-write' }, this.#text, send),
    );
  }

  #key(event: KeyboardEvent): void {
    // While an input method composes, Enter takes its proposal.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#send();
  }

  #send(): void {
    const text = this.#text.value.trim();
    if (!text) return;
    const to = this.#to.value;
    const whom = to ? this.#room.participants.get(to)?.name : undefined;
    if (to && whom === undefined) {
      this.#say('Nobody is there to read it: choose somebody else.');
      return;
    }
    try {
      this.#room.send(encodeText({ text, direct: to !== '' }), {
        topic: CHAT_TOPIC,
        ...(to && { to: [to] }),
      });
    } catch (error) {
      // What was written stays, to be sent again.
      this.#say(error instanceof Error ? sentence(error.message) : String(error));
      return;
    }
    this.#text.value = '';
    this.#add({ who: 'You', whom, text, own: true });
  }

  #receive({ from, topic, payload }: DataMessage): void {
    if (topic !== CHAT_TOPIC) return;
    const message = decodeText(payload);
    if (!message) return;
    const who = this.#room.participants.get(from)?.name ?? 'Somebody';
    this.#add({ who, whom: message.direct ? 'you' : undefined, text: message.text, own: false });
    if (this.#reading) return;
    this.#count(this.#unread + 1);
    // The log says what comes in only while it is shown.
    announce(`Message from ${who}: ${message.text}`);
  }

  #add({ who, whom, text, own }: Line): void {
    const log = this.#log;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < AT_END;
    const time = new Date();
    log.append(
      h(
        'li',
        { data: { own: String(own), direct: String(whom !== undefined) } },
        h(
          'p',
          { class: 'chat-head' },
          h('strong', {}, who),
          whom !== undefined && h('span', { class: 'chat-whom' }, `to ${whom} only`),
          h(
            'time',
            { attr: { datetime: time.toISOString() } },
            time.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }),
          ),
        ),
        h('p', { class: 'chat-text' }, text),
      ),
    );
    while (log.childElementCount > HISTORY_MAX) log.firstElementChild?.remove();
    this.#empty.hidden = true;
    if (atEnd || own) log.scrollTop = log.scrollHeight;
  }

  #count(unread: number): void {
    this.#unread = unread;
    this.onUnread(unread);
  }

  /** Whoever was chosen stays chosen, so that nothing meant for one goes to all. */
  #showReceivers(): void {
    const chosen = this.#to.value;
    const option = (id: string, name: string): HTMLOptionElement =>
      h('option', { attr: { value: id } }, name);
    const others = [...this.#room.participants.values()];
    const gone = chosen !== '' && !this.#room.participants.has(chosen);
    const left = [...this.#to.options].find(({ value }) => value === chosen)?.textContent ?? '';
    fill(
      this.#to,
      option('', 'Everybody'),
      ...others.map(({ id, name }) => option(id, name)),
      gone && option(chosen, left.endsWith('(left)') ? left : `${left} (left)`),
    );
    this.#to.value = chosen;
  }
}
