/** Reconciles to try on a harness's worker: the real workflow over scripted activities. */
import type { Client } from '@temporalio/client';
import { RECONCILE_WORKFLOW } from '../../../src/contracts/ids.js';
import type { ReconcileReport } from '../../../src/contracts/reconcile.js';
import { readHistory, type HistoryEvent } from './history.js';
import { ReconcileScript } from './reconcile-script.js';
import { allRunsOf, settled, type Recordable } from './runs.js';

export interface TestReconcile extends Recordable {
  readonly script: ReconcileScript;
  /** Starts it, and waits for its end. @throws what it fails with */
  run(...args: unknown[]): Promise<ReconcileReport>;
  events(runId: string): Promise<HistoryEvent[]>;
}

export function createTestReconcile(parts: { client: Client; taskQueue: string; workflowId: string }): TestReconcile {
  const { client, taskQueue, workflowId } = parts;
  const handle = client.workflow.getHandle(workflowId);
  const roots: string[] = [];
  return {
    workflowId,
    script: new ReconcileScript(),
    async run(...args) {
      const started = await client.workflow.start(RECONCILE_WORKFLOW, { workflowId, taskQueue, args });
      roots.push(started.firstExecutionRunId);
      return (await started.result()) as ReconcileReport;
    },
    events: (runId) => readHistory(client, workflowId, runId),
    allRuns: () => allRunsOf(client, handle, roots),
    settles: () => settled(client, handle),
  };
}
