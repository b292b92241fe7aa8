type Child = Node | string | undefined | false;

interface Props {
  class?: string;
  /** `data-*` attributes. */
  data?: Record<string, string>;
  /** Other attributes; `true` sets an empty one, `false` and `undefined` set none. */
  attr?: Record<string, string | number | boolean | undefined>;
  on?: { [Name in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Name]) => void };
}

/** Makes an element. Text children are text, never markup. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  if (props.class) element.className = props.class;
  for (const [name, value] of Object.entries(props.data ?? {})) element.dataset[name] = value;
  for (const [name, value] of Object.entries(props.attr ?? {})) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? '' : String(value));
  }
  for (const [name, listener] of Object.entries(props.on ?? {})) {
    element.addEventListener(name, listener as (event: Event) => void);
  }
  append(element, children);
  return element;
}

/** Puts `children` in place of what is in `element`. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren();
  append(element, children);
}

function append(element: Element, children: Child[]): void {
  for (const child of children) {
    if (child !== undefined && child !== false) element.append(child);
  }
}

/** Shows a text, and leaves the document alone when it is there already. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Something on the screen, until it is disposed of. */
export interface View {
  element: HTMLElement;
  /** Ends timers, listeners and devices. */
  dispose(): void;
}

/** Says something to those who do not see the page. */
export function announce(text: string): void {
  const announcer = document.getElementById('announcer');
  if (announcer) announcer.textContent = text;
}
