/** What an operator may do to a lane in mid turn. */
import { WorkflowNotFoundError } from '@temporalio/common';
import type { Lanes } from '../../e2e/support/lane-handle.js';
import { surely } from '../surely.js';

/** Does something to a lane, whatever is away meanwhile. @returns undefined where the lane had ended just then */
export async function onLane(work: () => Promise<unknown>): Promise<true | undefined> {
  const isGone = (error: unknown): boolean => error instanceof WorkflowNotFoundError;
  try {
    await surely(work, isGone);
    return true;
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** Resets the lane's run to its beginning. */
export async function resetLane(lanes: Lanes, userId: string, requestId: string): Promise<void> {
  const handle = lanes.of(userId);
  const { workflowId, runId } = await handle.describe();
  const { events } = await handle.fetchHistory();
  const first = events?.find((event) => event.workflowTaskCompletedEventAttributes);
  if (first?.eventId === undefined) throw new Error('the lane has done nothing yet');
  await lanes.client.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId, runId },
    reason: 'the fault suite',
    workflowTaskFinishEventId: first.eventId,
    requestId: `${requestId}-${runId}`,
  });
}
