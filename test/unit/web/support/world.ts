/**
 * A user's history as it might happen: turns of steps of tries, as the frames that a stream sends, and beside that, made by other means,
 * the transcript as the gateway would answer it after any of them.
 */
import fc from 'fast-check';
import type { DeltaEvent, DurableEvent, StreamEvent } from '../../../../web/api/answers.js';

/** The pieces that each try at a part says; the last try is the one that counts. */
type PartScript = readonly (readonly string[])[];

interface CallScript {
  readonly output: PartScript;
  readonly exitCode: number;
  /** Refused as it was asked for: it never begins. */
  readonly isInvalid: boolean;
}

interface StepScript {
  readonly answer: PartScript;
  readonly calls: readonly CallScript[];
}

export interface TurnScript {
  readonly steps: readonly StepScript[];
  readonly end: 'completed' | 'failed' | 'cancelled';
  /** It ends in the middle of the last step's answer, or of its last command. */
  readonly isCut: boolean;
  /** Cancelled before it began. */
  readonly neverBegins: boolean;
  /** Submitted while the one before runs. */
  readonly isEarly: boolean;
  /** The machine is replaced after the first step. */
  readonly losesMachine: boolean;
}

const piece = fc.stringMatching(/^[a-c\n]{0,3}$/);
const part: fc.Arbitrary<PartScript> = fc.array(fc.array(piece, { maxLength: 3 }), { minLength: 1, maxLength: 2 });
const call = fc.record({ output: part, exitCode: fc.constantFrom(0, 1), isInvalid: fc.boolean() });
const step = fc.record({ answer: part, calls: fc.array(call, { maxLength: 2 }) });

export const worlds: fc.Arbitrary<readonly TurnScript[]> = fc.array(
  fc.record({
    steps: fc.array(step, { minLength: 1, maxLength: 2 }),
    end: fc.constantFrom('completed', 'failed', 'cancelled'),
    isCut: fc.boolean(),
    neverBegins: fc.boolean(),
    isEarly: fc.boolean(),
    losesMachine: fc.boolean(),
  }),
  { minLength: 1, maxLength: 3 },
);

/** A frame, and for a delta the try that says it. */
export interface Frame {
  readonly event: StreamEvent;
  readonly try: number;
}

export const turnIdOf = (place: number): string => `t${place + 1}`;
export const promptOf = (turnId: string): string => `prompt of ${turnId}`;

export function toFrames(world: readonly TurnScript[]): Frame[] {
  const frames: Frame[] = [];
  let seq = 0;

  function tell(turnId: string | null, body: object): void {
    seq += 1;
    frames.push({ event: { seq, turnId, at: `at ${seq}`, ...body } as DurableEvent, try: 0 });
  }
  function sayPart(of: { turnId: string; step: number; index: number | null }, script: PartScript): string {
    const toBody = (text: string, n: number): object =>
      of.index !== null
        ? { type: 'output.delta', text }
        : n === 1
          ? { type: 'call.delta', index: 0, tool: 'bash', argumentsJson: text }
          : { type: 'answer.delta', text };
    script.forEach((pieces, at) => {
      if (at > 0) frames.push({ event: { ...of, type: 'part.restarted' }, try: at + 1 });
      pieces.forEach((text, n) => frames.push({ event: { ...of, ...toBody(text, n) } as DeltaEvent, try: at + 1 }));
    });
    return script.at(-1)?.join('') ?? '';
  }

  /** While the turn before runs, where that does. */
  const isQueuedEarly = (place: number): boolean =>
    world[place]?.isEarly === true && world[place - 1]?.neverBegins === false;

  world.forEach((turn, place) => {
    const turnId = turnIdOf(place);
    if (!isQueuedEarly(place)) tell(turnId, { type: 'turn.queued', position: place + 1 });
    if (turn.neverBegins) return tell(turnId, { type: 'turn.ended', outcome: 'cancelled', code: 'CANCELLED' });
    tell(turnId, { type: 'turn.started', position: place + 1 });
    if (isQueuedEarly(place + 1)) tell(turnIdOf(place + 1), { type: 'turn.queued', position: place + 2 });
    turn.steps.forEach(({ answer, calls }, at) => {
      const isLast = at === turn.steps.length - 1;
      const text = sayPart({ turnId, step: at, index: null }, answer);
      if (isLast && turn.isCut && calls.length === 0) return;
      const named = calls.map((_, index) => ({ index, cmdId: `${turnId}-${at}-${index}`, tool: 'bash', title: 'x' }));
      tell(turnId, { type: 'step.answered', step: at, text, calls: named });
      calls.forEach(({ output, exitCode, isInvalid }, index) => {
        const of = { step: at, index, cmdId: `${turnId}-${at}-${index}`, tool: 'bash' };
        const end = { outcome: 'exited', exitCode, outputBytes: 1, output: `output of ${of.cmdId}` };
        if (isInvalid) return tell(turnId, { type: 'command.ended', ...of, ...end, outcome: 'invalid' });
        tell(turnId, { type: 'command.started', ...of });
        sayPart({ turnId, step: at, index }, output);
        if (!(isLast && turn.isCut && index === calls.length - 1))
          tell(turnId, { type: 'command.ended', ...of, ...end });
      });
      if (turn.losesMachine && at === 0) tell(null, { type: 'machine.replaced', generation: 2, reason: 'lost' });
    });
    tell(turnId, { type: 'turn.ended', outcome: turn.end, code: turn.end === 'completed' ? null : 'INTERNAL' });
  });
  return frames;
}
