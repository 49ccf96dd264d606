/** Reads lanes from Temporal's own API: how long their histories are, and what they wait for. */
import { Client, Connection } from '@temporalio/client';
import { laneWorkflowId } from '../src/contracts/ids.js';

export interface RunSize {
  readonly runId: string;
  readonly events: number;
  readonly bytes: number;
  /** It was begun by a worker, and no workflow task and no activity is under way. */
  readonly isAtRest: boolean;
}

export interface LaneReader {
  /** The newest run of a user's lane, by the server's own count. */
  newestRun(userId: string): Promise<RunSize>;
  run(userId: string, runId: string): Promise<RunSize>;
  /** Timers that the newest run has started and that neither fired nor were cancelled. */
  pendingTimers(userId: string): Promise<number>;
  close(): Promise<void>;
}

export async function openLanes(address: string): Promise<LaneReader> {
  const connection = await Connection.connect({ address });
  const client = new Client({ connection });

  async function describe(userId: string, ofRunId?: string): Promise<RunSize> {
    const description = await client.workflow.getHandle(laneWorkflowId(userId), ofRunId).describe();
    const { runId, historyLength: events, historySize: bytes = 0, raw } = description;
    const isAtRest = events > 3 && !raw.pendingWorkflowTask && (raw.pendingActivities ?? []).length === 0;
    return { runId, events, bytes, isAtRest };
  }
  return {
    newestRun: (userId) => describe(userId),
    run: describe,
    async pendingTimers(userId) {
      const history = await client.workflow.getHandle(laneWorkflowId(userId)).fetchHistory();
      let timers = 0;
      for (const event of history.events ?? []) {
        if (event.timerStartedEventAttributes) timers += 1;
        if (event.timerFiredEventAttributes ?? event.timerCanceledEventAttributes) timers -= 1;
      }
      return timers;
    },
    close: () => connection.close(),
  };
}
