import { describe, expect, it } from 'vitest';
import { EventParser } from '../src/event-stream.ts';

const TEXT =
  ':keep-alive\n\nevent: map\ndata: {"a":1}\n\nevent:state\r\ndata:one\r\ndata: two\r\n\r\ndata\n\ndata: x\n\n';

const EVENTS = [
  { name: 'map', data: '{"a":1}' },
  { name: 'state', data: 'one\ntwo' },
  { name: 'message', data: '' },
  { name: 'message', data: 'x' },
];

describe('the stream of events', () => {
  it('is read wherever it is cut', () => {
    for (let size = 1; size <= TEXT.length; size += 1) {
      const parser = new EventParser();
      const events = [];
      for (let at = 0; at < TEXT.length; at += size) {
        events.push(...parser.push(TEXT.slice(at, at + size)));
      }
      expect(events, `in pieces of ${size}`).toEqual(EVENTS);
    }
  });

  it('gives nothing of an event that is cut off', () => {
    expect(new EventParser().push('event: map\ndata: {}\n')).toEqual([]);
  });
});
