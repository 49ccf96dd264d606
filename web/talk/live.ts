/** Deltas folded into the live text of their part. What comes late for a part that is complete changes nothing. */
import type { DeltaEvent } from '../api/answers.js';
import { answerKey, type LiveAnswer, type LiveCall, type LiveText, type Talk } from './talk.js';

export function applyDelta(talk: Talk, delta: DeltaEvent): Talk {
  switch (delta.type) {
    case 'answer.delta':
      return inAnswer(talk, delta, (answer) => ({ ...answer, text: append(answer.text, delta.text) }));
    case 'call.delta':
      return inAnswer(talk, delta, (answer) => ({ ...answer, calls: appendToCall(answer.calls, delta) }));
    case 'output.delta':
      return inOutput(talk, delta, (live) => append(live, delta.text));
    case 'part.restarted':
      return delta.index === null
        ? inAnswer(talk, delta, (answer) => ({ ...answer, text: [], calls: [] }))
        : inOutput(talk, delta, () => []);
    case 'part.resync':
      return delta.index === null
        ? inAnswer(talk, delta, (answer) => ({ ...answer, text: [...begun(answer.text), ''] }))
        : inOutput(talk, delta, (live) => [...begun(live), '']);
    default:
      return talk; // A later release may tell more.
  }
}

function append(live: LiveText, text: string): LiveText {
  const last = live.length - 1;
  return last < 0 ? [text] : live.with(last, `${live[last] ?? ''}${text}`);
}

/** Text that is missing at the very beginning is missing too. */
function begun(live: LiveText): LiveText {
  return live.length === 0 ? [''] : live;
}

function appendToCall(
  calls: readonly LiveCall[],
  { index, tool, argumentsJson }: DeltaEvent & { readonly type: 'call.delta' },
): readonly LiveCall[] {
  const place = calls.findIndex((call) => call.index === index);
  const call = calls[place];
  if (call === undefined) return [...calls, { index, tool, argumentsJson }];
  return calls.with(place, { ...call, argumentsJson: call.argumentsJson + argumentsJson });
}

function inAnswer(talk: Talk, delta: DeltaEvent, change: (answer: LiveAnswer) => LiveAnswer): Talk {
  const { turnId, step } = delta;
  if (isOver(talk, turnId)) return talk;
  const key = answerKey(turnId, step);
  if (talk.entries.some((entry) => entry.key === key)) return talk;
  const { answer } = talk;
  const isThis = answer?.turnId === turnId && answer.step === step;
  return { ...talk, answer: change(isThis ? answer : { turnId, step, text: [], calls: [] }) };
}

function inOutput(talk: Talk, delta: DeltaEvent, change: (live: LiveText) => LiveText): Talk {
  const key = answerKey(delta.turnId, delta.step);
  const place = talk.entries.findLastIndex((entry) => entry.key === key);
  const entry = talk.entries[place];
  if (entry === undefined || isOver(talk, delta.turnId)) return talk;
  const calls = entry.calls.map((call) =>
    call.index === delta.index && call.outcome === null ? { ...call, live: change(call.live) } : call,
  );
  return { ...talk, entries: talk.entries.with(place, { ...entry, calls }) };
}

function isOver({ turns }: Talk, turnId: string): boolean {
  const state = turns.get(turnId)?.state;
  return state === 'completed' || state === 'failed' || state === 'cancelled';
}
