/**
 * The door to lanes: what a client and the reconciler ask of one, and how they tell it something. Messages go by
 * signal-with-start, so they are durable without any worker, and start the lane where it does not run.
 */
import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/common';
import { InnkeeperError } from '../contracts/errors.js';
import { USER_MACHINE_WORKFLOW } from '../contracts/ids.js';
import type { Lanes } from '../contracts/lanes.js';
import { LANE_ANSWER_TIMEOUT_MS, SIGNAL_TIMEOUT_MS } from '../contracts/limits.js';
import { getState } from '../contracts/messages.js';

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

    async isRunning(workflowId) {
      try {
        const { status } = await within(SIGNAL_TIMEOUT_MS, () => client.workflow.getHandle(workflowId).describe());
        return status.name === 'RUNNING';
      } catch (cause) {
        if (cause instanceof WorkflowNotFoundError) return false;
        throw new InnkeeperError('TEMPORAL_UNAVAILABLE', 'Temporal did not say whether a lane runs.', { cause });
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
