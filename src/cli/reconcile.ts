/** `innkeeper reconcile`: has a worker reconcile now, and prints what was found. */
import { randomUUID } from 'node:crypto';
import { Client, WorkflowFailedError, type Connection } from '@temporalio/client';
import { ActivityFailure, ApplicationFailure } from '@temporalio/common';
import type { Command } from 'commander';
import type { ClientConfig } from '../config.js';
import { InnkeeperError, isErrorCode } from '../contracts/errors.js';
import { RECONCILE_WORKFLOW, reconcileWorkflowId } from '../contracts/ids.js';
import { RECONCILE_RUN_MS_MAX } from '../contracts/limits.js';
import type { ReconcileInput, ReconcileReport } from '../contracts/reconcile.js';
import { userIdsOf } from '../store/reconcile.js';
import { print, withCommonOptions, type CommonOptions } from './command.js';
import { deploymentConfig, withStore } from './deployment.js';
import { findingText, type ShownFinding } from './finding-text.js';
import { outputColumns } from './table.js';
import { withTemporal } from './temporal.js';

/** Above what one page may take that is tried again; past it the reconcile goes on by itself. */
const WAIT_MS_MAX = 15 * 60_000;

const TASK_QUEUE_TYPE_WORKFLOW = 1;

type ShownReport = Omit<ReconcileReport, 'findings'> & { readonly findings: readonly ShownFinding[] };

export function addReconcile(program: Command): void {
  withCommonOptions(program.command('reconcile').description('compare provider, ledger, record and lanes now'))
    .option('--dry-run', 'only say what would be done')
    .action(async (options: CommonOptions & { readonly dryRun?: true }) => {
      const config = deploymentConfig(options);
      const isDryRun = options.dryRun === true;
      const report = await withTemporal(config, (connection) => reconcileNow(connection, config, { isDryRun }));
      const shown = await withUserIds(config, report);
      print(shown, options, () => toText(shown, outputColumns(process.stdout)));
      if (report.listing !== 'whole') process.exitCode = 1;
    });
}

/** @throws InnkeeperError RECONCILE_UNFINISHED; the code that it failed with */
async function reconcileNow(
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

/** Users by their own ids: in Temporal they go by their lanes'. */
async function withUserIds(config: ClientConfig, report: ReconcileReport): Promise<ShownReport> {
  const lanes = report.findings.flatMap(({ workflowId }) => (workflowId === null ? [] : [workflowId]));
  const userIds = lanes.length === 0 ? new Map() : await withStore(config, (store) => userIdsOf(store, lanes));
  const userIdOf = (workflowId: string | null): string | null =>
    workflowId === null ? null : ((userIds.get(workflowId) as string | undefined) ?? null);
  return {
    ...report,
    findings: report.findings.map((finding) => ({ ...finding, userId: userIdOf(finding.workflowId) })),
  };
}

function toText(report: ShownReport, columns: number): string {
  const { isDryRun, listing, machines, users, resolved, findings, findingCount } = report;
  const hidden = findingCount - findings.length;
  return [
    `${machines} machines of the provider and ${users} users compared.`,
    ...(isDryRun ? ['Dry run: nothing is changed, nobody is told.'] : []),
    ...(listing === 'whole'
      ? []
      : [`The provider's list cannot be had: ${listing}.`, 'So nothing is said of machines.']),
    ...(resolved === 0 ? [] : [`${resolved} earlier ${resolved === 1 ? 'finding is' : 'findings are'} over.`]),
    findingCount === 0 ? 'No findings.' : `${findingCount} ${findingCount === 1 ? 'finding' : 'findings'}:`,
    ...findings.map((finding) => findingText(finding, columns)),
    ...(hidden === 0 ? [] : [`… and ${hidden} more: see innkeeper findings.`]),
  ].join('\n');
}
