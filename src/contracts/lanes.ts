/** What may be asked of lanes, and told to one, from outside of them. */
import type { LaneState } from './lane-state.js';
import type { LaneMessage } from './messages.js';

/**
 * How a lane stands. `failing`: its run is open, and its workflow tasks fail again and again; where it `cannotReplay`, because its
 * history is not what its code would do, which no waiting mends.
 */
export type LaneCondition =
  | { readonly kind: 'running' | 'ended' }
  | { readonly kind: 'failing'; readonly runId: string; readonly cannotReplay: boolean };

export interface Lanes {
  /** By signal-with-start: durable without any worker; starts a lane that does not run. @throws InnkeeperError LANE_UNREACHABLE */
  tell(workflowId: string, message: LaneMessage): Promise<void>;
  /** @throws InnkeeperError TEMPORAL_UNAVAILABLE */
  conditionOf(workflowId: string): Promise<LaneCondition>;
  /** Ends this run, if it has not ended yet: what Postgres holds is all that the next one needs. @throws InnkeeperError LANE_UNREACHABLE */
  terminate(run: { readonly workflowId: string; readonly runId: string; readonly reason: string }): Promise<void>;
  /** What it says of itself; undefined where it does not answer. */
  ask(workflowId: string): Promise<LaneState | undefined>;
}
