/** The activity `closeTurn`: failure and cancellation only; an answer closes its turn by itself. The first close wins. */
import type { TurnActivities } from '../contracts/activities.js';
import { requireLane } from '../store/lane.js';
import { withTransaction, type Store } from '../store/pool.js';
import { closeTurn } from '../store/turns.js';
import { activity, laneRun, type ActivityLog } from './context.js';

export function createCloseTurn(deps: { store: Store; log: ActivityLog }): TurnActivities['closeTurn'] {
  return ({ turnKey, outcome, code }) =>
    activity(deps.log, async () => ({
      closed: await withTransaction(deps.store, async (tx) => {
        const user = await requireLane(tx, laneRun());
        return closeTurn(tx, { user, turnKey, outcome, code });
      }),
    }));
}
