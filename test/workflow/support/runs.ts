/** The runs of one workflow id, along continue-as-new and new starts. */
import type { Client, WorkflowHandle } from '@temporalio/client';
import { waitFor } from '../../support/wait-for.js';
import { nameOf, readHistory } from './history.js';

/** A workflow with whatever runs it went through. */
export interface Recordable {
  readonly workflowId: string;
  /** Run ids of every run, in order. */
  allRuns(): Promise<string[]>;
  /** Waits until no task and no activity of the newest run is due or under way. */
  settles(): Promise<void>;
}

/** @param roots first runs, known because somebody started them */
export async function allRunsOf(client: Client, handle: WorkflowHandle, roots: readonly string[]): Promise<string[]> {
  // One that never ran cannot be described.
  const newest = await handle.describe().catch(() => undefined);
  const known = newest === undefined ? [] : [...roots, newest.runId];
  const runIds: string[] = [];
  for (let runId = known.shift(); runId !== undefined; runId = known.shift()) {
    if (runIds.includes(runId)) continue;
    runIds.push(runId);
    const events = await readHistory(client, handle.workflowId, runId);
    const next = events.at(-1)?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId;
    if (next) known.unshift(next);
  }
  return runIds;
}

export async function settled(client: Client, handle: WorkflowHandle): Promise<void> {
  await waitFor('a run in which nothing is under way', async () => {
    const { runId, raw, status } = await handle.describe();
    if (status.name !== 'RUNNING') return true;
    const events = await readHistory(client, handle.workflowId, runId);
    const isTasked = events.some((event) => nameOf(event) === 'workflowTaskCompleted');
    return isTasked && !raw.pendingWorkflowTask && (raw.pendingActivities ?? []).length === 0;
  });
}
