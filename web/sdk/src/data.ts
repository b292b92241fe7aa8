import { DataError } from './errors.ts';

/** The longest message on a data channel, frame and all, in bytes. */
export const DATA_BYTES_MAX = 16_384;

/** The most messages and bytes that an edge takes in a second. */
export const DATA_MESSAGES_PER_SECOND = 100;
export const DATA_BYTES_PER_SECOND = 256 * 1024;

/** How a message is sent. */
export interface SendOptions {
  /** Ids of the participants that it is for; everybody else when absent. */
  to?: readonly string[];
  /** What it is about, so that parts of a product tell theirs apart. */
  topic?: string;
  /** In order and until it arrives; `false` sends it once. `true` when absent. */
  reliable?: boolean;
}

/** A message of somebody else. */
export interface DataMessage {
  /** The sender's participant id. */
  from: string;
  topic: string | undefined;
  payload: Uint8Array<ArrayBuffer>;
}

/** What an edge reads of a message. */
export interface DataHeader {
  to?: readonly string[];
  topic?: string;
  from?: string;
}

/** Two bytes of length (big-endian), as much JSON, then the payload. */
export function frameMessage(header: DataHeader, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(JSON.stringify(header));
  const message = new Uint8Array(2 + json.length + payload.length);
  if (message.length > DATA_BYTES_MAX) {
    throw new DataError(
      'too_large',
      `the message has ${message.length} bytes with its header: at most ${DATA_BYTES_MAX} are allowed`,
    );
  }
  new DataView(message.buffer).setUint16(0, json.length);
  message.set(json, 2);
  message.set(payload, 2 + json.length);
  return message;
}

/** Reads a message of the edge; `undefined` for what is none. */
export function parseMessage(data: Uint8Array<ArrayBuffer>): DataMessage | undefined {
  if (data.length < 2) return undefined;
  const length = new DataView(data.buffer, data.byteOffset).getUint16(0);
  if (data.length < 2 + length) return undefined;
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder().decode(data.subarray(2, 2 + length)));
  } catch {
    return undefined;
  }
  if (typeof header !== 'object' || header === null) return undefined;
  const { from, topic } = header as { from?: unknown; topic?: unknown };
  if (typeof from !== 'string') return undefined;
  return {
    from,
    topic: typeof topic === 'string' ? topic : undefined,
    payload: data.slice(2 + length),
  };
}
