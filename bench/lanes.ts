/** Reads lanes from Temporal's own API: how long their histories are, and what they wait for. */
import { Client, Connection } from '@temporalio/client';
import { laneWorkflowId } from '../src/contracts/ids.js';

export interface RunSize {
  readonly runId: string;
  readonly events: number;
  readonly bytes: number;
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

  async function describe(userId: string, runId?: string): Promise<RunSize> {
    const description = await client.workflow.getHandle(laneWorkflowId(userId), runId).describe();
    return { runId: description.runId, events: description.historyLength, bytes: description.historySize ?? 0 };
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
