/** What may be asked of lanes, and told to one, from outside of them. */
import type { LaneState } from './lane-state.js';
import type { LaneMessage } from './messages.js';

export interface Lanes {
  /** By signal-with-start: durable without any worker; starts a lane that does not run. @throws InnkeeperError LANE_UNREACHABLE */
  tell(workflowId: string, message: LaneMessage): Promise<void>;
  /** True while a run of it is open. @throws InnkeeperError TEMPORAL_UNAVAILABLE */
  isRunning(workflowId: string): Promise<boolean>;
  /** What it says of itself; undefined where it does not answer. */
  ask(workflowId: string): Promise<LaneState | undefined>;
}
