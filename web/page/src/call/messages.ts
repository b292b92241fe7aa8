/** The topic of chat messages, beside which a product may have its own. */
export const CHAT_TOPIC = 'chat';

/** The longest text that one message carries, in UTF-16 units; thrice as many bytes always fit. */
export const TEXT_MAX = 2_000;

/** The most messages that are kept. */
export const HISTORY_MAX = 200;

/** What one participant tells another, or all. */
export interface ChatText {
  text: string;
  /** Whether it is for its receiver alone; the edge tells from whom it is, not for whom. */
  direct: boolean;
}

/** A text as it travels. */
export function encodeText({ text, direct }: ChatText): string {
  return JSON.stringify({ text, ...(direct && { direct }) });
}

/** Reads what travelled; `undefined` for what is no chat message, whoever sent it. */
export function decodeText(payload: Uint8Array): ChatText | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { text, direct } = value as { text?: unknown; direct?: unknown };
  if (typeof text !== 'string' || text.trim() === '') return undefined;
  return { text: text.slice(0, TEXT_MAX), direct: direct === true };
}
