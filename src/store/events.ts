/** The event log of each user: appended in the transaction that commits what it tells, read from any sequence. */
import { InnkeeperError } from '../contracts/errors.js';
import type { TurnEvent, TurnEventBody } from '../contracts/events.js';
import { statement, type Queryable } from './sql.js';
import type { Tx } from './transaction.js';
import { unknownUser } from './users.js';

/**
 * Appends an event when the transaction commits. It takes the user's next sequence under the user's row lock, so there are
 * neither gaps nor readers that see a later one first.
 */
export function appendEvent(
  tx: Tx,
  event: { readonly userId: string; readonly turnKey: string | null; readonly body: TurnEventBody },
): void {
  tx.appendsOf(event.userId).events.push({ turnKey: event.turnKey, body: event.body });
}

const selectEvents = statement(
  'select_events',
  `select e.seq, t.turn_id, e.at, e.body
   from turn_events e left join turns t on t.turn_key = e.turn_key
   where e.user_id = $1 and e.seq > $2 order by e.seq limit $3`,
);
const selectTurnEvents = statement(
  'select_turn_events',
  `select e.seq, t.turn_id, e.at, e.body
   from turns t join turn_events e on e.turn_key = t.turn_key
   where t.user_id = $1 and t.turn_id = $4 and e.seq > $2 order by e.seq limit $3`,
);

/** Events after sequence `after` (0: from the first), oldest first; of one turn where `turnId` is given. */
export async function readEvents(
  store: Queryable,
  from: { readonly userId: string; readonly after: number; readonly limit: number; readonly turnId?: string },
): Promise<TurnEvent[]> {
  const { userId, after, limit, turnId } = from;
  const { rows } = await store.query<{ seq: number; turn_id: string | null; at: Date; body: TurnEventBody }>(
    turnId === undefined ? selectEvents : selectTurnEvents,
    turnId === undefined ? [userId, after, limit] : [userId, after, limit, turnId],
  );
  return rows.map(({ seq, turn_id, at, body }) => ({ seq, turnId: turn_id, at: at.toISOString(), body }));
}

const selectLast = statement(
  'select_last_event_of_turn',
  `select t.turn_key is not null as is_known, t.state in ('completed', 'failed', 'cancelled') as is_over,
     (select max(seq) from turn_events where turn_key = t.turn_key) as seq
   from users u left join turns t on t.user_id = u.user_id and t.turn_id = $2 where u.user_id = $1`,
);

/** The turn's last event so far, and whether there will be no other. @throws InnkeeperError USER_UNKNOWN, TURN_UNKNOWN */
export async function lastEventOfTurn(
  store: Queryable,
  { userId, turnId }: { readonly userId: string; readonly turnId: string },
): Promise<{ readonly seq: number; readonly isOver: boolean }> {
  const { rows } = await store.query<{ is_known: boolean; is_over: boolean; seq: number }>(selectLast, [
    userId,
    turnId,
  ]);
  const [row] = rows;
  if (row === undefined) throw unknownUser();
  if (!row.is_known) throw new InnkeeperError('TURN_UNKNOWN', 'This user has no such turn.');
  return { seq: row.seq, isOver: row.is_over };
}
