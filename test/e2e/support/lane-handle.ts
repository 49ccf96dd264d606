/** The lane as an operator with a Temporal client sees it. */
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { laneWorkflowId } from '../../../src/contracts/ids.js';

export interface Lanes {
  readonly client: Client;
  of(userId: string): WorkflowHandle;
  /** All runs of the user's lane, oldest first. */
  runs(userId: string): Promise<{ readonly runId: string; readonly startTime: Date }[]>;
  close(): Promise<void>;
}

export async function openLanes(address: string): Promise<Lanes> {
  const connection = await Connection.connect({ address });
  const client = new Client({ connection });
  return {
    client,
    of: (userId) => client.workflow.getHandle(laneWorkflowId(userId)),
    async runs(userId) {
      const found: { runId: string; startTime: Date }[] = [];
      for await (const run of client.workflow.list({ query: `WorkflowId = "${laneWorkflowId(userId)}"` }))
        found.push(run);
      return found.toSorted((one, other) => one.startTime.getTime() - other.startTime.getTime());
    },
    close: () => connection.close(),
  };
}

/** How many attempts each activity of this name took, in order, by the current run's history. */
export async function attemptsOf(lane: WorkflowHandle, activityType: string): Promise<number[]> {
  const events = (await lane.fetchHistory()).events ?? [];
  const scheduled = new Set<string>();
  for (const { eventId, activityTaskScheduledEventAttributes: attributes } of events) {
    if (attributes?.activityType?.name === activityType) scheduled.add(String(eventId));
  }
  return events.flatMap(({ activityTaskStartedEventAttributes: started }) =>
    started && scheduled.has(String(started.scheduledEventId)) ? [started.attempt ?? 0] : [],
  );
}
