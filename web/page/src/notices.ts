import { localJoinPath } from './config.ts';
import { h, setText, type View } from './dom.ts';

/** A page with a heading, some words, and what can be done. */
export function notice(
  title: string,
  text: string,
  action?: { label: string; run: () => void },
): View {
  const element = h(
    'main',
    { class: 'notice' },
    h(
      'div',
      { class: 'card' },
      h('h1', {}, title),
      h('p', { attr: { 'data-testid': 'notice' } }, text),
      action &&
        h(
          'button',
          { class: 'primary', attr: { type: 'button' }, on: { click: action.run } },
          action.label,
        ),
    ),
  );
  return { element, dispose: () => {} };
}

/** Waiting for the coordinator, the edge or a host. */
export function waiting(text: string, onCancel: () => void): View & { say(text: string): void } {
  const words = h('p', { attr: { role: 'status', 'data-testid': 'progress' } }, text);
  const element = h(
    'main',
    { class: 'notice' },
    h(
      'div',
      { class: 'card centred' },
      h('span', { class: 'spinner', attr: { 'aria-hidden': true } }),
      words,
      h('button', { attr: { type: 'button' }, on: { click: onCancel } }, 'Cancel'),
    ),
  );
  return { element, dispose: () => {}, say: (next) => setText(words, next) };
}

/** The page without a meeting: says what it is for, and takes a join link. */
export function landing(region: string | undefined): View {
  const problem = h('p', { class: 'problem', attr: { role: 'alert' } });
  const link = h('input', {
    attr: {
      type: 'text',
      required: true,
      placeholder: 'https://…/m/mtg_…',
      'data-testid': 'join-link',
    },
  });
  const submit = (event: Event): void => {
    event.preventDefault();
    const path = localJoinPath(link.value);
    if (path) location.assign(path);
    else setText(problem, 'That is no join link: it has /m/mtg_… in it.');
  };
  const element = h(
    'main',
    { class: 'notice' },
    h(
      'form',
      { class: 'card', on: { submit } },
      h(
        'p',
        { class: 'brand' },
        h('img', { attr: { src: '/icon.svg', alt: '', width: 28 } }),
        'Sluice',
      ),
      h('h1', {}, 'Meet across the planet'),
      h(
        'p',
        {},
        'You join at the edge next to you, and so does everybody else. Open the join link that you were sent, or paste it here.',
      ),
      h('label', { class: 'field' }, h('span', {}, 'Join link'), link),
      problem,
      h('button', { class: 'primary', attr: { type: 'submit' } }, 'Continue'),
      region ? h('p', { class: 'faint' }, `This page comes from ${region}.`) : undefined,
    ),
  );
  return { element, dispose: () => {} };
}
