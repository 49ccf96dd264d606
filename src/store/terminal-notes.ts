/** What is told when a person takes the terminal and hands it back: events for whoever watches, notes for the agent. */
import type { TerminalEnd } from '../contracts/events.js';
import { appendEvent } from './events.js';
import { statement } from './sql.js';
import { addNote, type Tx } from './transaction.js';

/** How a terminal came back. */
export interface HandBack {
  readonly reason: TerminalEnd;
  /** Where the shell is; null: not known. */
  readonly directory: string | null;
}

/** Characters of a directory's name that are told; it comes from the machine. */
const DIRECTORY_CHARACTERS_MAX = 1_024;

const TAKEN_NOTE =
  'A person has taken the keyboard of this machine. Commands that you start from here on wait until they hand it back.';

const selectRunning = statement(
  'select_running_turn',
  `select turn_key::text as "turnKey" from turns where user_id = $1 and state = 'running'`,
);

/** The agent is told within the turn that runs, or before the user's next words. The user's row is locked by the transaction. */
async function tellAgent(tx: Tx, userId: string, text: string): Promise<void> {
  const { rows } = await tx.query<{ turnKey: string }>(selectRunning, [userId]);
  addNote(tx, { userId, turnKey: rows[0]?.turnKey ?? null, text });
}

export async function noteTaken(tx: Tx, userId: string, holder: string): Promise<void> {
  appendEvent(tx, { userId, turnKey: null, body: { type: 'terminal.taken', holder } });
  await tellAgent(tx, userId, TAKEN_NOTE);
}

export async function noteHandedBack(tx: Tx, userId: string, { reason, directory }: HandBack): Promise<void> {
  const where = directory?.slice(0, DIRECTORY_CHARACTERS_MAX) ?? null;
  appendEvent(tx, { userId, turnKey: null, body: { type: 'terminal.handed_back', reason, directory: where } });
  const shell =
    where === null
      ? 'The shell goes on where they left it, as far as that is known.'
      : `The shell is in ${JSON.stringify(where)} now, with the variables that they exported.`;
  await tellAgent(
    tx,
    userId,
    `The person has handed the machine back. ${shell} Files and processes may have changed: look before you rely on them.`,
  );
}
