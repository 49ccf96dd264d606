/** What the page knows of one user's conversation: what is on record, and the live text of what is being made. Plain data, never changed. */
import type { LanePhase } from '../../src/contracts/lane-state.js';
import type { Call, TurnState } from '../api/answers.js';

/** Live text of a part. Between two pieces text is missing. */
export type LiveText = readonly string[];

export interface TalkCall extends Call {
  /** What came live of its output, colours included; empty: nothing did. */
  readonly live: LiveText;
  /** It had not ended when the page came to know of it, however fast it was since. */
  readonly isWatched: boolean;
}

export interface TalkEntry {
  /** The same whether it came by a page or by an event. */
  readonly key: string;
  readonly turnId: string | null;
  readonly step: number | null;
  readonly kind: 'user' | 'assistant' | 'note';
  /** null: a prompt that is not known yet. */
  readonly text: string | null;
  readonly at: string;
  readonly calls: readonly TalkCall[];
}

export interface TurnStatus {
  readonly state: TurnState;
  /** Why it failed. */
  readonly code: string | null;
}

export interface WaitingTurn {
  readonly turnId: string;
  readonly position: number;
  /** null: not known yet. */
  readonly prompt: string | null;
}

/** The answer that the model is making. */
export interface LiveAnswer {
  readonly turnId: string;
  readonly step: number;
  readonly text: LiveText;
  readonly calls: readonly LiveCall[];
}

/** A tool call that the model is writing down. */
export interface LiveCall {
  readonly index: number;
  readonly tool: string;
  readonly argumentsJson: string;
}

export interface Talk {
  /** Of the last durable event that is in here. */
  readonly seq: number;
  /** Oldest first. */
  readonly entries: readonly TalkEntry[];
  readonly turns: ReadonlyMap<string, TurnStatus>;
  /** In the order in which they will run. */
  readonly waiting: readonly WaitingTurn[];
  readonly answer: LiveAnswer | null;
  /** As events tell it; null: none did since the page was read. */
  readonly machine: { readonly phase: LanePhase; readonly generation: number } | null;
  /** Cursor of the entries before these; null: there are none. */
  readonly earlier: string | null;
}

export const promptKey = (turnId: string): string => `${turnId}/prompt`;
export const answerKey = (turnId: string, step: number): string => `${turnId}/${step}`;

/** The turn that runs; undefined: none does. */
export function runningTurn({ turns }: Talk): string | undefined {
  for (const [turnId, { state }] of turns) if (state === 'running') return turnId;
  return undefined;
}

/** Turns whose prompt nobody has said yet. */
export function turnsWithoutPrompt({ entries, waiting }: Talk): string[] {
  return [
    ...entries.flatMap(({ kind, text, turnId }) =>
      kind === 'user' && text === null && turnId !== null ? [turnId] : [],
    ),
    ...waiting.flatMap(({ prompt, turnId }) => (prompt === null ? [turnId] : [])),
  ];
}

/** What was said of a part so far, with a mark where text is missing. */
export function joinLive(live: LiveText, mark = '\n[… text is missing here until this part is complete …]\n'): string {
  return live.join(mark);
}
