import { expect, test } from 'vitest';
import { TEXT_MAX, decodeText, encodeText } from '../src/call/messages.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test('a message arrives as it was written, with the word that it is for one alone', () => {
  for (const message of [
    { text: 'Bonjour à tous 👋\nça va ?', direct: false },
    { text: '<b>hello</b>', direct: true },
  ]) {
    expect(decodeText(bytes(encodeText(message)))).toEqual(message);
  }
});

test.each(['', 'hello', '[]', 'null', '{}', '{"text":7}', '{"text":"  "}', '{"text":'])(
  'what is no message is none: %j',
  (payload) => expect(decodeText(bytes(payload))).toBeUndefined(),
);

test('bytes that are no text are no message', () => {
  expect(decodeText(new Uint8Array([0xff, 0xfe, 0x00]))).toBeUndefined();
});

test('a longer text than anybody can write here is cut', () => {
  const text = 'x'.repeat(TEXT_MAX + 1);
  expect(decodeText(bytes(JSON.stringify({ text })))?.text).toHaveLength(TEXT_MAX);
});
