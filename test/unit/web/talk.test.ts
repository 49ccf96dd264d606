/** What single events make of a talk: live text and its voids and gaps, waiting turns, events that nobody knows. */
import { describe, expect, it } from 'vitest';
import type { StreamEvent } from '../../../web/api/answers.js';
import { apply, isNext } from '../../../web/talk/apply.js';
import { isTurn, toBlocks } from '../../../web/talk/blocks.js';
import { fromPage, withTurn } from '../../../web/talk/pages.js';
import { joinLive, runningTurn, turnsWithoutPrompt, type Talk } from '../../../web/talk/talk.js';

const EMPTY = fromPage({ items: [], next: null, events: '0' });
const at = '2026-01-01T00:00:00.000Z';
const CALL = { index: 0, cmdId: 'c1', tool: 'bash', title: 'ls' };

const queued = (seq: number, turnId: string, position: number): StreamEvent => ({
  ...{ seq, turnId, at, type: 'turn.queued', position },
});
const started = (seq: number, turnId: string): StreamEvent => ({ seq, turnId, at, type: 'turn.started', position: 1 });
const answered = (seq: number): StreamEvent => ({
  ...{ seq, turnId: 't1', at, type: 'step.answered', step: 0, text: 'whole', calls: [CALL] },
});
const said = (text: string): StreamEvent => ({ turnId: 't1', step: 0, index: null, type: 'answer.delta', text });
const printed = (text: string): StreamEvent => ({ turnId: 't1', step: 0, index: 0, type: 'output.delta', text });
const about = (type: 'part.restarted' | 'part.resync', index: number | null): StreamEvent => ({
  ...{ turnId: 't1', step: 0, index, type },
});
const fold = (...events: StreamEvent[]): Talk => events.reduce(apply, EMPTY);
const liveOutput = (talk: Talk): string => joinLive(talk.entries.at(-1)?.calls[0]?.live ?? [], '|');

describe('live text', () => {
  const begun = [queued(1, 't1', 1), started(2, 't1')];

  it('of an answer grows, begins anew with its try, and gives way to the whole', () => {
    expect(joinLive(fold(...begun, said('a'), said('b')).answer?.text ?? [])).toBe('ab');
    const again = fold(...begun, said('a'), about('part.restarted', null), said('c'));
    expect(joinLive(again.answer?.text ?? [])).toBe('c');
    const whole = apply(again, answered(3));
    expect(whole.answer).toBeNull();
    expect(whole.entries.at(-1)).toMatchObject({ kind: 'assistant', text: 'whole' });
    // What was said of it comes late.
    expect(apply(whole, said('late')).answer).toBeNull();
  });

  it('says where some of it is missing, at its beginning too', () => {
    expect(fold(...begun, said('a'), about('part.resync', null), said('b')).answer?.text).toEqual(['a', 'b']);
    expect(fold(...begun, about('part.resync', null), said('b')).answer?.text).toEqual(['', 'b']);
  });

  it('of a call collects its arguments under the index of the call', () => {
    const piece = (index: number, argumentsJson: string): StreamEvent => ({
      ...{ turnId: 't1', step: 0, type: 'call.delta', index, tool: 'bash', argumentsJson },
    });
    const { answer } = fold(...begun, piece(0, '{"a"'), piece(1, '{'), piece(0, ':1}'));
    expect(answer?.calls.map((call) => call.argumentsJson)).toEqual(['{"a":1}', '{']);
  });

  it('of output grows within its call, and stays until the call has ended', () => {
    const running = fold(...begun, answered(3), printed('1\n'), printed('2\n'));
    expect(liveOutput(running)).toBe('1\n2\n');
    expect(liveOutput(apply(running, about('part.restarted', 0)))).toBe('');
    expect(liveOutput(apply(apply(running, about('part.resync', 0)), printed('9\n')))).toBe('1\n2\n|9\n');
    const ended = apply(running, {
      ...{ seq: 4, turnId: 't1', at, type: 'command.ended', step: 0, index: 0, cmdId: 'c1', tool: 'bash' },
      ...{ outcome: 'exited', exitCode: 3, outputBytes: 4, output: '1\n2\n[exit code 3]' },
    });
    expect(ended.entries.at(-1)?.calls[0]).toMatchObject({ outcome: 'exited', exitCode: 3, endedAt: at });
    expect(apply(ended, printed('late'))).toEqual(ended);
  });

  it('of a call is watched where its end came later than the page, and not where it came with it', () => {
    const nothing = { exitCode: null, output: '', outputBytes: null, startedAt: null, endedAt: null };
    const pageOf = (outcome: string | null): Talk =>
      fromPage({
        ...{ next: null, events: '3' },
        items: [
          {
            ...{
              seq: 1,
              turnId: 't1',
              turnState: 'running',
              errorCode: null,
              step: 0,
              kind: 'assistant',
              text: '',
              at,
            },
            calls: [{ ...CALL, ...nothing, outcome }],
          },
        ],
      });
    const isWatched = (talk: Talk): boolean | undefined => talk.entries.at(-1)?.calls[0]?.isWatched;
    expect([fold(...begun, answered(3)), pageOf(null), pageOf('exited')].map(isWatched)).toEqual([true, true, false]);
  });

  it('of a turn that is over changes nothing', () => {
    const over = fold(...begun, said('a'), {
      seq: 3,
      turnId: 't1',
      at,
      type: 'turn.ended',
      outcome: 'failed',
      code: 'INTERNAL',
    });
    expect(over.answer).toBeNull();
    expect(apply(over, said('b'))).toBe(over);
    expect(over.turns.get('t1')).toEqual({ state: 'failed', code: 'INTERNAL' });
  });
});

describe('turns', () => {
  it('wait in their order, with the prompt from whoever knows it first, and run one after the other', () => {
    let talk = fold(queued(1, 't1', 1), queued(2, 't2', 2));
    expect(turnsWithoutPrompt(talk)).toEqual(['t1', 't2']);
    talk = withTurn(talk, { turnId: 't2', position: 2, state: 'queued', prompt: 'two' });
    talk = withTurn(talk, { turnId: 't1', position: 1, state: 'queued', prompt: 'one' });
    expect(talk.waiting.map(({ prompt }) => prompt)).toEqual(['one', 'two']);
    talk = apply(talk, started(3, 't1'));
    expect([runningTurn(talk), talk.entries[0]?.text, talk.waiting.length]).toEqual(['t1', 'one', 1]);
  });

  it('that began or ended meanwhile do not wait again, whatever an older list says', () => {
    const over = fold(queued(1, 't1', 1), {
      seq: 2,
      turnId: 't1',
      at,
      type: 'turn.ended',
      outcome: 'cancelled',
      code: 'CANCELLED',
    });
    expect(withTurn(over, { turnId: 't1', position: 1, state: 'queued', prompt: 'one' }).waiting).toEqual([]);
    const running = withTurn(fold(queued(1, 't1', 1), started(2, 't1')), {
      ...{ turnId: 't1', position: 1, state: 'queued', prompt: 'one' },
    });
    expect([running.waiting, running.entries[0]?.text]).toEqual([[], 'one']);
  });

  it('known from their answer before any event are not doubled by it', () => {
    const talk = withTurn(EMPTY, { turnId: 't1', position: 1, state: 'queued', prompt: 'one' });
    expect(apply(talk, queued(1, 't1', 1)).waiting).toEqual([{ turnId: 't1', position: 1, prompt: 'one' }]);
  });

  it('keep the notes that fall into them', () => {
    const replaced: StreamEvent = {
      seq: 3,
      turnId: null,
      at,
      type: 'machine.replaced',
      generation: 2,
      reason: 'it was lost',
    };
    const blocks = toBlocks(fold(queued(1, 't1', 1), started(2, 't1'), replaced, answered(4)));
    expect(blocks).toHaveLength(1);
    expect(blocks.filter(isTurn).map(({ entries }) => entries.map(({ kind }) => kind))).toEqual([
      ['user', 'note', 'assistant'],
    ]);
    expect(toBlocks(fold(queued(1, 't1', 1), started(2, 't1'), replaced)).map(isTurn)).toEqual([true, false]);
  });
});

describe('events', () => {
  it('that nobody knows yet change nothing but the place', () => {
    const later = { seq: 1, turnId: 't1', at, type: 'turn.praised' } as unknown as StreamEvent;
    expect(fold(later)).toEqual({ ...EMPTY, seq: 1 });
    const delta = { turnId: 't1', step: 0, index: null, type: 'mood.delta' } as unknown as StreamEvent;
    expect(fold(delta)).toBe(EMPTY);
  });

  it('with one missing before them are not next', () => {
    expect(isNext(EMPTY, queued(2, 't1', 1))).toBe(false);
    expect(isNext(EMPTY, queued(1, 't1', 1))).toBe(true);
  });

  it('of the machine tell its phase', () => {
    const phase: StreamEvent = { seq: 1, turnId: null, at, type: 'machine.phase', phase: 'waking', generation: 3 };
    expect(fold(phase).machine).toEqual({ phase: 'waking', generation: 3 });
  });
});
