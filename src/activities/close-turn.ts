/** The activity `closeTurn`: failure and cancellation only; an answer closes its turn by itself. The first close wins. */
import type { TurnActivities } from '../contracts/activities.js';
import type { Store } from '../store/pool.js';
import { closeTurnOfLane } from '../store/turns.js';
import { activity, laneRun, type ActivityLog } from './context.js';

export function createCloseTurn(deps: { store: Store; log: ActivityLog }): TurnActivities['closeTurn'] {
  return ({ turnKey, outcome, code }) =>
    activity(deps.log, async () => ({
      closed: await closeTurnOfLane(deps.store, { ...laneRun(), turnKey, outcome, code }),
    }));
}
