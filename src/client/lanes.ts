/**
 * The door to lanes: what a client and the reconciler ask of one, and how they tell it something. Messages go by
 * signal-with-start, so they are durable without any worker, and start the lane where it does not run.
 */
import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/common';
import proto from '@temporalio/proto';
import { InnkeeperError } from '../contracts/errors.js';
import { USER_MACHINE_WORKFLOW } from '../contracts/ids.js';
import type { Lanes } from '../contracts/lanes.js';
import { FAILED_TASK_TRIES_MAX, LANE_ANSWER_TIMEOUT_MS, SIGNAL_TIMEOUT_MS } from '../contracts/limits.js';
import { getState } from '../contracts/messages.js';

type Cause = proto.temporal.api.enums.v1.WorkflowTaskFailedCause;
const { WorkflowTaskFailedCause } = proto.temporal.api.enums.v1;
const NOT_REPLAYED = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR;
/** The server's way of handing one more signal to a run that wants to end. */
const UNHANDLED_COMMAND = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND;

/** @param lanes `taskQueue`: where a lane is started that does not run */
export function createLanes({ client, taskQueue }: { readonly client: Client; readonly taskQueue: string }): Lanes {
  const within = <T>(timeoutMs: number, call: () => Promise<T>): Promise<T> =>
    client.connection.withDeadline(Date.now() + timeoutMs, call);

  return {
    async tell(workflowId, { signal, signalArgs }) {
      try {
        await within(SIGNAL_TIMEOUT_MS, () =>
          client.workflow.signalWithStart<() => Promise<void>, unknown[]>(USER_MACHINE_WORKFLOW, {
            workflowId,
            taskQueue,
            args: [],
            staticSummary: 'A chat user: their machine and their turns',
            staticDetails: 'One lane for one user. Phases, search attributes and error codes: docs/operations.md',
            signal: signal.name,
            signalArgs: [...signalArgs],
          }),
        );
      } catch (cause) {
        const message = 'What you asked for is stored, but Temporal did not take the signal.';
        throw new InnkeeperError('LANE_UNREACHABLE', message, { cause });
      }
    },

    async conditionOf(workflowId) {
      try {
        return await within(SIGNAL_TIMEOUT_MS, async () => {
          const { status, runId, raw } = await client.workflow.getHandle(workflowId).describe();
          if (status.name !== 'RUNNING') return { kind: 'ended' };
          const { pendingWorkflowTask: task } = raw;
          if (!task) return { kind: 'running' };
          const causes = await failuresSinceCompletion(client, { workflowId, runId });
          // History has each task's first attempt alone, and every signal begins a new task: further attempts are only told here.
          const tries = Math.max(causes.length, task.attempt ?? 0);
          return causes.length === 0 || tries < FAILED_TASK_TRIES_MAX
            ? { kind: 'running' }
            : { kind: 'failing', runId, cannotReplay: causes[0] === NOT_REPLAYED };
        });
      } catch (cause) {
        if (cause instanceof WorkflowNotFoundError) return { kind: 'ended' };
        throw new InnkeeperError('TEMPORAL_UNAVAILABLE', 'Temporal did not say whether a lane runs.', { cause });
      }
    },

    async terminate({ workflowId, runId, reason }) {
      try {
        await within(SIGNAL_TIMEOUT_MS, () => client.workflow.getHandle(workflowId, runId).terminate(reason));
      } catch (cause) {
        if (cause instanceof WorkflowNotFoundError) return;
        throw new InnkeeperError('LANE_UNREACHABLE', 'Temporal did not end a lane that cannot go on.', { cause });
      }
    },

    async ask(workflowId) {
      try {
        return await within(LANE_ANSWER_TIMEOUT_MS, () => client.workflow.getHandle(workflowId).query(getState));
      } catch {
        return undefined; // Whatever keeps it from answering, the caller has to do without.
      }
    },
  };
}

/** Why the run's tasks failed since one was completed, by its history, the latest first: neither timeouts nor signals that came in between. */
async function failuresSinceCompletion(
  { workflowService, options: { namespace } }: Client,
  execution: { readonly workflowId: string; readonly runId: string },
): Promise<Cause[]> {
  const causes: Cause[] = [];
  let nextPageToken: Uint8Array = new Uint8Array();
  do {
    const page = { namespace, execution, maximumPageSize: 100, nextPageToken };
    const { history, nextPageToken: next } = await workflowService.getWorkflowExecutionHistoryReverse(page);
    for (const event of history?.events ?? []) {
      if (event.workflowTaskCompletedEventAttributes) return causes;
      const { cause } = event.workflowTaskFailedEventAttributes ?? {};
      if (typeof cause === 'number' && cause !== UNHANDLED_COMMAND) causes.push(cause);
    }
    nextPageToken = next;
  } while (nextPageToken.length > 0);
  return causes;
}
