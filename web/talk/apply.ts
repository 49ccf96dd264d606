/**
 * Events folded into the talk, one after the other. A part of a turn is named by (turn, step, index): deltas build its live text,
 * and its durable event takes that text's place. Pure; whatever cut an event stream is read in two at, the outcome is the same.
 */
import type { DurableEvent, StreamEvent } from '../api/answers.js';
import { applyDelta } from './live.js';
import {
  answerKey,
  promptKey,
  type Talk,
  type TalkCall,
  type TalkEntry,
  type TurnStatus,
  type WaitingTurn,
} from './talk.js';

/** False: an event is missing between the talk and this one, and everything has to be read anew. */
export function isNext(talk: Talk, event: StreamEvent): boolean {
  return !('seq' in event) || event.seq <= talk.seq + 1;
}

export function apply(talk: Talk, event: StreamEvent): Talk {
  if (!('seq' in event)) return applyDelta(talk, event);
  // What was heard before changes nothing.
  return event.seq <= talk.seq ? talk : { ...applyDurable(talk, event), seq: event.seq };
}

function applyDurable(talk: Talk, event: DurableEvent): Talk {
  const { turnId, at } = event;
  if (event.type === 'machine.phase') {
    return { ...talk, machine: { phase: event.phase, generation: event.generation } };
  }
  if (event.type === 'machine.replaced') return withNote(talk, event, toReplacement(event));
  if (event.type === 'terminal.taken') return withNote(talk, event, 'A person has taken the keyboard. Commands wait.');
  if (event.type === 'terminal.handed_back') return withNote(talk, event, toHandBack(event));
  if (turnId === null) return talk;
  switch (event.type) {
    case 'turn.queued':
      return queued(talk, { turnId, position: event.position, prompt: null });
    case 'turn.started':
      return started(talk, turnId, at);
    case 'turn.resumed':
      return withNote(talk, event, `Goes on at step ${event.step} after an interruption.`);
    case 'step.answered':
      return answered(talk, event, turnId);
    case 'command.started':
      return withCall(talk, { ...event, turnId }, (call) => ({ ...call, startedAt: call.startedAt ?? at }));
    case 'command.ended': {
      const { outcome, exitCode, output, outputBytes } = event;
      const end = { outcome, exitCode, output, outputBytes, endedAt: at };
      return withCall(talk, { ...event, turnId }, (call) => ({ ...call, ...end }));
    }
    case 'turn.ended':
      return ended(talk, turnId, { state: event.outcome, code: event.code });
    default:
      return talk; // A later release may tell more.
  }
}

function queued(talk: Talk, turn: WaitingTurn): Talk {
  // Known from the answer to its submission, prompt included.
  if (talk.turns.has(turn.turnId)) return talk;
  return {
    ...talk,
    waiting: [...talk.waiting, turn],
    turns: withStatus(talk, turn.turnId, { state: 'queued', code: null }),
  };
}

function started(talk: Talk, turnId: string, at: string): Talk {
  const text = talk.waiting.find((turn) => turn.turnId === turnId)?.prompt ?? null;
  const prompt: TalkEntry = { key: promptKey(turnId), turnId, step: null, kind: 'user', text, at, calls: [] };
  return {
    ...put(talk, prompt),
    waiting: talk.waiting.filter((turn) => turn.turnId !== turnId),
    turns: withStatus(talk, turnId, { state: 'running', code: null }),
  };
}

function answered(talk: Talk, event: DurableEvent & { readonly type: 'step.answered' }, turnId: string): Talk {
  const { step, text, at } = event;
  const calls = event.calls.map(toCall);
  const entry: TalkEntry = { key: answerKey(turnId, step), turnId, step, kind: 'assistant', text, at, calls };
  return { ...put(talk, entry), answer: null };
}

function ended(talk: Talk, turnId: string, status: TurnStatus): Talk {
  return {
    ...talk,
    waiting: talk.waiting.filter((turn) => turn.turnId !== turnId),
    turns: withStatus(talk, turnId, status),
    answer: talk.answer?.turnId === turnId ? null : talk.answer,
  };
}

function withStatus({ turns }: Talk, turnId: string, status: TurnStatus): Talk['turns'] {
  return new Map(turns).set(turnId, status);
}

/** In the place of the entry of the same key, or behind all. */
function put(talk: Talk, entry: TalkEntry): Talk {
  const place = talk.entries.findIndex(({ key }) => key === entry.key);
  return { ...talk, entries: place === -1 ? [...talk.entries, entry] : talk.entries.with(place, entry) };
}

function withNote(talk: Talk, { seq, turnId, at }: DurableEvent, text: string): Talk {
  return put(talk, { key: `event/${seq}`, turnId, step: null, kind: 'note', text, at, calls: [] });
}

function withCall(
  talk: Talk,
  { turnId, step, index }: { readonly turnId: string; readonly step: number; readonly index: number },
  change: (call: TalkCall) => TalkCall,
): Talk {
  const key = answerKey(turnId, step);
  const place = talk.entries.findLastIndex((entry) => entry.key === key);
  const entry = talk.entries[place];
  if (entry === undefined) return talk;
  const calls = entry.calls.map((call) => (call.index === index ? change(call) : call));
  return { ...talk, entries: talk.entries.with(place, { ...entry, calls }) };
}

function toCall(call: Pick<TalkCall, 'index' | 'cmdId' | 'tool' | 'title'>): TalkCall {
  const { index, cmdId, tool, title } = call;
  const nothing = { outcome: null, exitCode: null, output: '', outputBytes: null, startedAt: null, endedAt: null };
  return { index, cmdId, tool, title, ...nothing, live: [], isWatched: true };
}

function toReplacement(event: DurableEvent & { readonly type: 'machine.replaced' }): string {
  const { generation, reason, kept = [], lost = [] } = event;
  const list = (word: string, things: readonly string[]): string =>
    things.length === 0 ? '' : ` ${word}: ${things.join(', ')}.`;
  return `Machine ${generation} replaces the one before: ${reason}.${list('Lost', lost)}${list('Kept', kept)}`;
}

function toHandBack({ directory }: DurableEvent & { readonly type: 'terminal.handed_back' }): string {
  return `The keyboard is handed back${directory === null ? '' : `, in ${directory}`}.`;
}
