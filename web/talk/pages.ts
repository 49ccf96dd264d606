/** Answers of the gateway -> talk: the transcript's pages, the queue, a turn's prompt. */
import type { Call, Entry, TranscriptPage, TurnState } from '../api/answers.js';
import { answerKey, promptKey, type Talk, type TalkCall, type TalkEntry, type TurnStatus } from './talk.js';

/** The latest page: everything else comes by events behind `page.events`. */
export function fromPage(page: TranscriptPage): Talk {
  return {
    seq: seqOf(page.events),
    entries: toEntries(page),
    turns: toTurns(page),
    waiting: [],
    answer: null,
    machine: null,
    earlier: page.next,
  };
}

/** A page of what was before. */
export function withEarlier(talk: Talk, page: TranscriptPage): Talk {
  const known = new Set(talk.entries.map(({ key }) => key));
  const earlier = toEntries(page).filter(({ key }) => !known.has(key));
  return {
    ...talk,
    entries: [...earlier, ...talk.entries],
    // What events have told since is newer than the page.
    turns: new Map([...toTurns(page), ...talk.turns]),
    earlier: page.next,
  };
}

/** A turn as a list or an answer shows it, which may be older or newer than what events have told. */
export function withTurn(
  talk: Talk,
  turn: { readonly turnId: string; readonly position: number; readonly state: TurnState; readonly prompt: string },
): Talk {
  const { turnId, position, prompt } = turn;
  const entries = talk.entries.map((entry) =>
    entry.key === promptKey(turnId) && entry.text === null ? { ...entry, text: prompt } : entry,
  );
  const told = talk.turns.get(turnId)?.state;
  const isOpen = turn.state === 'queued' || turn.state === 'running';
  // Events tell when it begins and ends; until then it waits.
  const isWaiting = told === 'queued' || (told === undefined && isOpen);
  if (!isWaiting) return { ...talk, entries };
  const others = talk.waiting.filter((waiting) => waiting.turnId !== turnId);
  return {
    ...talk,
    entries,
    waiting: [...others, { turnId, position, prompt }].sort((one, other) => one.position - other.position),
    turns: new Map(talk.turns).set(turnId, { state: 'queued', code: null }),
  };
}

function seqOf(position: string): number {
  return Number(position.split(':')[0]);
}

function toEntries({ items }: TranscriptPage): TalkEntry[] {
  return items.map(toEntry).toReversed();
}

function toEntry({ seq, turnId, step, kind, text, at, calls }: Entry): TalkEntry {
  return { key: keyOf({ seq, turnId, step, kind }), turnId, step, kind, text, at, calls: calls.map(toCall) };
}

function toCall(call: Call): TalkCall {
  return { ...call, live: [], isWatched: call.outcome === null };
}

function keyOf({ seq, turnId, step, kind }: Pick<Entry, 'seq' | 'turnId' | 'step' | 'kind'>): string {
  if (kind === 'user' && turnId !== null) return promptKey(turnId);
  if (kind === 'assistant' && turnId !== null && step !== null) return answerKey(turnId, step);
  return `note/${seq}`;
}

function toTurns({ items }: TranscriptPage): Map<string, TurnStatus> {
  return new Map(
    items.flatMap(({ turnId, turnState: state, errorCode: code }) =>
      turnId === null || state === null ? [] : [[turnId, { state, code }] as const],
    ),
  );
}
