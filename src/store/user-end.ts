/** The end of a user: open turns are settled, and the user is destroyed once the machine is gone. */
import { requireLane, type LaneRun } from './lane.js';
import { withTransaction, type Store } from './pool.js';
import { statement } from './sql.js';
import { failOpenTurns } from './turns.js';

/**
 * Ends every open turn of a user that is being destroyed as USER_DESTROYED; the machine need not be gone yet. Answers how many.
 * @throws InnkeeperError STALE_LANE, USER_UNKNOWN
 */
export function settleOpenTurns(store: Store, run: LaneRun): Promise<{ settled: number }> {
  return withTransaction(store, async (tx) => {
    const user = await requireLane(tx, run);
    if (user.state === 'active') throw new Error('the open turns of an active user are not to be settled');
    return { settled: await failOpenTurns(tx, { user, code: 'USER_DESTROYED' }) };
  });
}

const markDestroyed = statement(
  'mark_destroyed',
  `update users set state = 'destroyed', destroyed_at = clock_timestamp()
   where user_id = $1 and state = 'destroying'
     and not exists (select from machines where user_id = $1 and phase <> 'destroyed')`,
);

/**
 * The last step of a destruction: settles what is open and marks the user destroyed. May be repeated. Its machine must be buried.
 * @throws InnkeeperError STALE_LANE, USER_UNKNOWN
 */
export function settleDestroyed(store: Store, run: LaneRun): Promise<{ settled: number }> {
  return withTransaction(store, async (tx) => {
    const user = await requireLane(tx, run);
    if (user.state === 'destroyed') return { settled: 0 };
    const settled = await failOpenTurns(tx, { user, code: 'USER_DESTROYED' });
    const { rowCount } = await tx.query(markDestroyed, [user.userId]);
    if (rowCount !== 1) throw new Error('a user is not being destroyed, or still has a machine in the ledger');
    return { settled };
  });
}
