/** Turns made up at random: what a follower of one hears, and what the transcript says of it by its end. */
import fc from 'fast-check';
import type { FeedItem } from '../../../../src/client.js';
import type { CallOutcome } from '../../../../src/contracts/activities.js';
import type { TurnDeltaBody, TurnEventBody } from '../../../../src/contracts/events.js';
import type { TranscriptCall, TranscriptEntry } from '../../../../src/store/transcript.js';

export const TURN_ID = 'made-turn';

export interface MadeTurn {
  readonly items: readonly FeedItem[];
  /** Of the turn's answer, oldest first. */
  readonly entries: readonly TranscriptEntry[];
  readonly state: 'completed' | 'failed' | 'cancelled';
}

/** A try at an answer: what of it is heard. */
interface Try {
  /** How much of the answer that is kept it says, in characters, before it says something of its own. */
  readonly same: number;
  readonly own: string;
  readonly calls: readonly { readonly index: number; readonly json: string }[];
  /** Piece before which something is left out; beyond the last: nothing is. */
  readonly gap: number;
}
interface Call {
  readonly tool: string;
  readonly title: string;
  readonly outcome: CallOutcome;
  readonly printed: readonly (string | null)[];
  readonly output: string;
}

const words = fc.string({ unit: fc.constantFrom('a', 'b', ' ', '\n', 'é', '𝄞', '"'), maxLength: 12 });
const call: fc.Arbitrary<Call> = fc
  .record({
    tool: fc.constantFrom('bash', 'read_file', 'no_such_tool'),
    title: fc.constantFrom('echo x', 'read notes.txt'),
    outcome: fc.constantFrom<CallOutcome>('exited', 'signalled', 'timed_out', 'cancelled', 'unknown', 'invalid'),
    // null: it begins anew.
    printed: fc.array(fc.option(words, { freq: 4 }), { maxLength: 3 }),
    output: words,
  })
  .map((made) => (made.tool === 'no_such_tool' ? { ...made, title: made.tool } : made));
const attempt: fc.Arbitrary<Try> = fc.record({
  same: fc.nat(12),
  own: fc.oneof(fc.constant(''), words),
  calls: fc.array(fc.record({ index: fc.nat(2), json: fc.constantFrom('{"comm', 'and":"x"}', '{}') }), {
    maxLength: 3,
  }),
  gap: fc.nat(8),
});
const step = fc.record({
  text: words,
  calls: fc.array(call, { maxLength: 3 }),
  tries: fc.array(attempt, { maxLength: 3 }),
});

export const madeTurn: fc.Arbitrary<MadeTurn> = fc
  .record({
    steps: fc.array(step, { minLength: 1, maxLength: 3 }),
    state: fc.constantFrom<MadeTurn['state']>('completed', 'failed', 'cancelled'),
    /** Of what is heard, where the turn does not complete. */
    cut: fc.nat(40),
  })
  .map(({ steps, state, cut }) => make(steps, state, cut));

function make(
  steps: readonly { text: string; calls: readonly Call[]; tries: readonly Try[] }[],
  state: MadeTurn['state'],
  cut: number,
): MadeTurn {
  // The one that calls nothing is the last.
  const last = steps.findIndex(({ calls }) => calls.length === 0);
  const made = last === -1 ? [...steps, { text: 'end', calls: [], tries: [] }] : steps.slice(0, last + 1);
  const heard: (TurnEventBody | { step: number; index: number | null; body: TurnDeltaBody })[] = [
    { type: 'turn.queued', position: 1 },
    { type: 'turn.started', position: 1 },
    { type: 'machine.phase', phase: 'waking', generation: 1 },
  ];
  made.forEach(({ text, calls, tries }, at) => {
    for (const body of tries.flatMap((one, n) => toBodies(one, text, n > 0)))
      heard.push({ step: at, index: null, body });
    const named = calls.map(({ tool, title }, index) => ({ index, cmdId: `${at}-${index}`, tool, title }));
    heard.push({ type: 'step.answered', step: at, text, calls: named });
    calls.forEach(({ tool, outcome, printed, output }, index) => {
      const of = { step: at, index, cmdId: `${at}-${index}`, tool };
      if (outcome !== 'invalid') heard.push({ type: 'command.started', ...of });
      for (const piece of printed) {
        const body =
          piece === null ? ({ type: 'part.restarted' } as const) : ({ type: 'output.delta', text: piece } as const);
        heard.push({ step: at, index, body });
      }
      heard.push({ type: 'command.ended', ...of, outcome, exitCode: 0, outputBytes: output.length, output });
    });
  });
  const kept = state === 'completed' ? heard : heard.slice(0, cut);
  kept.push({ type: 'turn.ended', outcome: state, code: state === 'completed' ? null : 'INTERNAL' });
  const items = kept.map((one, seq): FeedItem => {
    const position = { seq, try: 0, n: 0 };
    if ('body' in one) return { position, delta: { turnId: TURN_ID, ...one } };
    const turnId = one.type === 'machine.phase' ? null : TURN_ID;
    return { position, event: { seq, turnId, at: '2026-01-01T00:00:00.000Z', body: one } };
  });
  return { items, entries: entriesOf(items, state), state };
}

function toBodies({ same, own, calls, gap }: Try, text: string, isAgain: boolean): TurnDeltaBody[] {
  const pieces: TurnDeltaBody[] = [text.slice(0, same / 2), text.slice(same / 2, same), own]
    .filter((piece) => piece !== '')
    .map((piece) => ({ type: 'answer.delta', text: piece }));
  for (const { index, json } of calls) pieces.push({ type: 'call.delta', index, tool: 'bash', argumentsJson: json });
  if (gap < pieces.length) pieces.splice(gap, 1, { type: 'part.resync' });
  return isAgain ? [{ type: 'part.restarted' }, ...pieces] : pieces;
}

/** What the store would say: the durable events alone. */
function entriesOf(items: readonly FeedItem[], state: MadeTurn['state']): TranscriptEntry[] {
  const bodies = items.flatMap((item) => ('event' in item ? [item.event.body] : []));
  return bodies.flatMap((body, seq): TranscriptEntry[] => {
    if (body.type !== 'step.answered') return [];
    const calls = body.calls.map((called): TranscriptCall => {
      const end = bodies.find(
        (other) => other.type === 'command.ended' && other.step === body.step && other.index === called.index,
      );
      const ended = end?.type === 'command.ended' ? end : undefined;
      return {
        ...called,
        outcome: ended?.outcome ?? null,
        exitCode: ended?.exitCode ?? null,
        output: ended?.output ?? '',
        outputBytes: ended?.outputBytes ?? null,
        ...{ startedAt: null, endedAt: null },
      };
    });
    const errorCode = state === 'completed' ? null : 'INTERNAL';
    const about = { turnId: TURN_ID, turnState: state, errorCode, at: '' } as const;
    return [{ seq, step: body.step, kind: 'assistant', text: body.text, calls, ...about }];
  });
}

/** What a projection sends of a turn. */
export function sentBy(
  projection: { readonly opening?: string; textOf(item: FeedItem): string },
  items: readonly FeedItem[],
): string {
  return (projection.opening ?? '') + items.map((item) => projection.textOf(item)).join('');
}

/** The events of a stream, as JSON; a `[DONE]` as itself. */
export function eventsIn(text: string): Record<string, unknown>[] {
  expectWhole(text);
  return text
    .split('\n\n')
    .slice(0, -1)
    .map((line) => line.replace(/^data: /, ''))
    .filter((data) => data !== '[DONE]')
    .map((data) => JSON.parse(data) as Record<string, unknown>);
}

function expectWhole(text: string): void {
  if (!text.endsWith('\n\n')) throw new Error('the stream ends within an event');
}
