/** Entries in the order in which they are read: turn by turn, and what was noted in between. */
import type { LiveAnswer, Talk, TalkEntry, TurnStatus } from './talk.js';

export interface TurnBlock {
  readonly turnId: string;
  readonly entries: readonly TalkEntry[];
  readonly status: TurnStatus;
  /** What the model is saying. */
  readonly answer: LiveAnswer | null;
}

/** A turn, or a note of no turn. */
export type Block = TurnBlock | TalkEntry;

const DONE: TurnStatus = { state: 'completed', code: null };

export const isTurn = (block: Block): block is TurnBlock => 'entries' in block;

export function toBlocks({ entries, turns, answer }: Talk): Block[] {
  const blocks: Block[] = [];
  let turn: { readonly turnId: string; readonly entries: TalkEntry[] } | undefined;
  /** Notes of no turn behind the turn's last entry: where it goes on after them, they are its own. */
  let notes: TalkEntry[] = [];
  for (const entry of entries) {
    if (entry.turnId === null) {
      notes.push(entry);
    } else if (entry.turnId === turn?.turnId) {
      turn.entries.push(...notes, entry);
      notes = [];
    } else {
      const { turnId } = entry;
      blocks.push(...notes);
      notes = [];
      turn = { turnId, entries: [entry] };
      blocks.push({ ...turn, status: turns.get(turnId) ?? DONE, answer: answer?.turnId === turnId ? answer : null });
    }
  }
  return [...blocks, ...notes];
}

/** Whether two blocks show the same, so that nothing needs to be drawn. */
export function isSame(one: TurnBlock, other: TurnBlock): boolean {
  return (
    one.turnId === other.turnId &&
    one.answer === other.answer &&
    one.status === other.status &&
    one.entries.length === other.entries.length &&
    one.entries.every((entry, place) => entry === other.entries[place])
  );
}
