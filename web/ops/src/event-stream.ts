// Server-sent events (HTML, section 9.2) over fetch, which unlike EventSource can show a token.

export interface ServerEvent {
  name: string;
  data: string;
}

/** Reads a stream of events piece by piece, wherever the pieces are cut. */
export class EventParser {
  #rest = '';
  #name = '';
  #data: string[] = [];

  /** The events that end in this piece. */
  push(text: string): ServerEvent[] {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    const events: ServerEvent[] = [];
    for (const line of lines) {
      if (line === '') {
        if (this.#data.length > 0) {
          events.push({ name: this.#name || 'message', data: this.#data.join('\n') });
        }
        this.#name = '';
        this.#data = [];
        continue;
      }
      const colon = line.indexOf(':');
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'event') this.#name = value;
      if (field === 'data') this.#data.push(value);
    }
    return events;
  }
}

/** The coordinator does not let this token watch. */
export class Refused extends Error {}

/** How long nothing may come before the connection counts as lost; the state comes every second. */
const SILENCE_MS = 10_000;

/**
 * Follows a stream until it ends, which is no error, or `signal` does.
 *
 * @throws {Refused} when the token does not allow it
 */
export async function follow(
  url: string,
  token: string,
  signal: AbortSignal,
  take: (event: ServerEvent) => void,
): Promise<void> {
  const silence = new AbortController();
  const either = AbortSignal.any([signal, silence.signal]);
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const response = await fetch(url, {
      headers: { authorization: `Bearer ${token}` },
      signal: either,
      cache: 'no-store',
    });
    if (!response.ok || !response.body) {
      const problem = (await response.json().catch(() => null)) as { detail?: string } | null;
      const reason = problem?.detail ?? `the coordinator answers ${response.status}`;
      if (response.status === 401 || response.status === 403) throw new Refused(reason);
      throw new Error(reason);
    }
    const parser = new EventParser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      for (const event of parser.push(value)) take(event);
    }
  } finally {
    clearTimeout(timer);
  }
}
