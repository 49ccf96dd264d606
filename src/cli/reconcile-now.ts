/** A reconcile by hand, for the time of a command: a workflow of its own, begun and waited for. */
import { randomUUID } from 'node:crypto';
import { Client, WorkflowFailedError, type Connection } from '@temporalio/client';
import { ActivityFailure, ApplicationFailure } from '@temporalio/common';
import type { ClientConfig } from '../config.js';
import { InnkeeperError, isErrorCode } from '../contracts/errors.js';
import { RECONCILE_WORKFLOW, reconcileWorkflowId } from '../contracts/ids.js';
import { RECONCILE_RUN_MS_MAX } from '../contracts/limits.js';
import type { ReconcileInput, ReconcileReport } from '../contracts/reconcile.js';

/** Above what one page may take that is tried again; past it the reconcile goes on by itself. */
const WAIT_MS_MAX = 15 * 60_000;

const TASK_QUEUE_TYPE_WORKFLOW = 1;

/** @throws InnkeeperError RECONCILE_UNFINISHED; the code that it failed with */
export async function reconcileNow(
  connection: Connection,
  { temporal: { namespace, taskQueue } }: ClientConfig,
  input: ReconcileInput,
): Promise<ReconcileReport> {
  const client = new Client({ connection, namespace });
  await assertWorker(connection, { namespace, taskQueue });
  const workflowId = reconcileWorkflowId(taskQueue, randomUUID());
  const handle = await client.workflow.start(RECONCILE_WORKFLOW, {
    workflowId,
    taskQueue,
    args: [input],
    workflowRunTimeout: RECONCILE_RUN_MS_MAX,
    staticSummary: 'Compares provider, ledger, record and lanes, by hand',
  });
  const limit = AbortSignal.timeout(WAIT_MS_MAX);
  try {
    return await connection.withAbortSignal(limit, () => handle.result() as Promise<ReconcileReport>);
  } catch (error) {
    if (limit.aborted) {
      throw new InnkeeperError('RECONCILE_UNFINISHED', `The workflow ${workflowId} has not ended yet.`, {
        cause: error,
      });
    }
    if (!(error instanceof WorkflowFailedError)) throw error;
    const cause = error.cause instanceof ActivityFailure ? error.cause.cause : error.cause;
    const code = cause instanceof ApplicationFailure && isErrorCode(cause.type) ? cause.type : 'RECONCILE_UNFINISHED';
    throw new InnkeeperError(code, `The workflow ${workflowId} ended without a result: ${cause?.message ?? ''}`, {
      cause: error,
    });
  }
}

/** Nobody would do it: better said at once. @throws InnkeeperError RECONCILE_UNFINISHED */
async function assertWorker(
  connection: Connection,
  { namespace, taskQueue: name }: { readonly namespace: string; readonly taskQueue: string },
): Promise<void> {
  const request = { namespace, taskQueue: { name }, taskQueueType: TASK_QUEUE_TYPE_WORKFLOW };
  const { pollers } = await connection.workflowService.describeTaskQueue(request);
  if ((pollers ?? []).length > 0) return;
  throw new InnkeeperError('RECONCILE_UNFINISHED', `No worker polls the task queue ${name}: nothing was begun.`);
}
