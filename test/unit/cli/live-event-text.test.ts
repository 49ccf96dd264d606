/** Goal: a person in a terminal reads everything once, live where it comes live. Method: items as a feed hands them over, and what is on the screen. */
import { describe, expect, it } from 'vitest';
import { createLiveEventText } from '../../../src/cli/live-event-text.js';
import type { TurnDeltaBody, TurnEventBody } from '../../../src/contracts/events.js';
import type { FeedItem } from '../../../src/client/event-feed.js';

const position = { seq: 1, try: 0, n: 0 };
const event = (body: TurnEventBody): FeedItem => ({ position, event: { seq: 1, turnId: 't', at: '', body } });
const delta = (body: TurnDeltaBody, index: number | null = null): FeedItem => {
  return { position, delta: { turnId: 't', step: 0, index, body } };
};
const said = (text: string): FeedItem => delta({ type: 'answer.delta', text });
const printed = (text: string): FeedItem => delta({ type: 'output.delta', text }, 0);
const answered = (text: string): FeedItem => event({ type: 'step.answered', step: 0, text, calls: [] });
const ended = (output: string): FeedItem => {
  const of = { step: 0, index: 0, cmdId: 'c', tool: 'bash', outcome: 'exited', exitCode: 0, outputBytes: 1 } as const;
  return event({ type: 'command.ended', ...of, output });
};
const started = event({ type: 'command.started', step: 0, index: 0, cmdId: 'c', tool: 'bash' });

function screen(...items: readonly FeedItem[]): string {
  const toText = createLiveEventText();
  return items.map(toText).join('');
}

describe('an answer', () => {
  it('that came live is not said again', () => {
    expect(screen(said('\nHel'), said('lo '), said('there.'), answered('\nHello there.'))).toBe('Hello there.\n');
  });
  it('of which an end did not come live is completed', () => {
    expect(screen(said('Hello '), answered('Hello there.'))).toBe('Hello there.\n');
  });
  it('that did not come live is said whole', () => {
    expect(screen(answered('Hello there.'))).toBe('Hello there.\n');
  });
  it('that began anew says so', () => {
    const restarted = delta({ type: 'part.restarted' });
    expect(screen(said('Good'), restarted, said('Hello'), answered('Hello.'))).toBe('Good\n· begins anew\nHello.\n');
  });
  it('of which something is lost is said whole in the end', () => {
    const resync = delta({ type: 'part.resync' });
    expect(screen(said('Hel'), resync, said('there.'), answered('Hello there.'))).toBe(
      'Hel\n…\nthere.\nHello there.\n',
    );
  });
  it('cannot speak to the terminal', () => {
    expect(screen(said('a\u001b]0;ow'), said('ned\u0007b'), answered('a\u001b]0;owned\u0007b'))).toBe('ab\n');
  });
  it('is interrupted by what happens to the machine', () => {
    const awake = event({ type: 'machine.phase', phase: 'ready', generation: 1 });
    expect(screen(said('Hel'), awake, answered('Hello.'))).toBe('Hel\n· machine 1 is ready\nHello.\n');
  });
});

describe('output', () => {
  it('that came live is set in, and only its end is added', () => {
    expect(screen(started, printed('one\ntw'), printed('o\n'), ended('one\ntwo\n[exit code 0]'))).toBe(
      '$ \n  one\n  two\n  [exit code 0]\n',
    );
  });
  it('keeps its colours, and switches them off', () => {
    expect(screen(printed('\u001b[31mred'), ended('red\n[exit code 1]'))).toBe(
      '  \u001b[31mred\u001b[0m\n  [exit code 1]\n',
    );
  });
  it('that was shortened is closed by how it ended', () => {
    expect(screen(printed('one\ntwo\n'), ended('one\n[… 4 bytes left out …]\n[exit code 0]'))).toBe(
      '  one\n  two\n  [exit code 0]\n',
    );
  });
  it('that did not come live is shown whole', () => {
    expect(screen(ended('one\n[exit code 0]'))).toBe('  one\n  [exit code 0]\n');
  });
});

it('arguments of a call are not shown twice', () => {
  expect(screen(delta({ type: 'call.delta', index: 0, tool: 'bash', argumentsJson: '{' }), answered(''))).toBe('');
});
