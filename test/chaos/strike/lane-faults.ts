/** What an operator may do to a lane in mid turn. */
import type { Lanes } from '../../e2e/support/lane-handle.js';

/** Resets the lane's run to its beginning. @returns undefined where it has none yet */
export async function resetLane(lanes: Lanes, userId: string, requestId: string): Promise<boolean | undefined> {
  const handle = lanes.of(userId);
  const { workflowId, runId } = await handle.describe();
  const { events } = await handle.fetchHistory();
  const first = events?.find((event) => event.workflowTaskCompletedEventAttributes);
  if (first?.eventId === undefined) return undefined;
  await lanes.client.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId, runId },
    reason: 'the fault suite',
    workflowTaskFinishEventId: first.eventId,
    requestId: `${requestId}-${runId}`,
  });
  return true;
}
