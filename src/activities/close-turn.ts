/** The activity `closeTurn`: failure and cancellation only; an answer closes its turn by itself. The first close wins. */
import type { TurnActivities } from '../contracts/activities.js';
import { unsettledCalls } from '../store/calls.js';
import { requireLane } from '../store/lane.js';
import { withTransaction, type Store } from '../store/pool.js';
import { closeTurn } from '../store/turns.js';
import { activity, laneRun, type ActivityLog } from './context.js';

export function createCloseTurn(deps: { store: Store; log: ActivityLog }): TurnActivities['closeTurn'] {
  return ({ turnKey, outcome, code, onlySettled }) =>
    activity(deps.log, () =>
      withTransaction(deps.store, async (tx) => {
        const user = await requireLane(tx, laneRun());
        // Under the lock that a submission takes: none comes between this look and the close, and none after it.
        if (onlySettled === true && (await unsettledCalls(tx, { turnKey })).length > 0) {
          return { closed: false, isUnsettled: true };
        }
        return { closed: await closeTurn(tx, { user, turnKey, outcome, code }) };
      }),
    );
}
