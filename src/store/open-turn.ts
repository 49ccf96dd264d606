/** The beginning of a turn: it runs under the lane from here on, its prompt is in the transcript, its time limit counts. */
import type { LaneSettings } from '../contracts/activities.js';
import { appendEvent } from './events.js';
import type { LaneUser } from './lane.js';
import type { Tx } from './pool.js';
import { statement } from './sql.js';
import { appendEntry } from './transaction.js';

// Under the user's row lock, as every admission and every end: the order that it sees holds until it commits.
const openTurn = statement(
  'open_turn',
  `update turns t set state = 'running', lane = $2, started_at = now.at, deadline_at = now.at + $3 * interval '1 millisecond'
   from (select clock_timestamp() as at) now
   where t.turn_key = $1::bigint and t.state = 'queued'
     and not exists (select from turns o where o.user_id = t.user_id
                     and (o.state = 'running' or (o.state = 'queued' and o.position < t.position)))
   returning t.position, t.prompt, t.deadline_at,
     (extract(epoch from now.at - t.created_at) * 1000)::double precision as waited_ms`,
);

interface OpenedRow {
  position: number;
  prompt: string;
  deadline_at: Date;
  waited_ms: number;
}

/** A user's own idle time comes before the deployment's. */
export function settingsOf(user: LaneUser, defaults: LaneSettings): LaneSettings {
  return { ...defaults, idleMs: user.idleMs ?? defaults.idleMs };
}

/**
 * Opens a waiting turn for `wallMs`. undefined: another turn of the user runs or comes before it, and nothing is done.
 * The user's row is locked by the transaction.
 */
export async function startTurn(
  tx: Tx,
  user: LaneUser,
  { turnKey, wallMs }: { readonly turnKey: string; readonly wallMs: number },
): Promise<{ deadlineAt: Date } | undefined> {
  const { rows } = await tx.query<OpenedRow>(openTurn, [turnKey, user.lane, wallMs]);
  const row = rows[0];
  if (row === undefined) return undefined;
  const { userId } = user;
  appendEntry(tx, { userId, turnKey, step: null, kind: 'user', text: row.prompt });
  appendEvent(tx, { userId, turnKey, body: { type: 'turn.started', position: row.position } });
  tx.appendsOf(userId).startedTurns.push({ turnKey, waitedMs: row.waited_ms });
  return { deadlineAt: row.deadline_at };
}
