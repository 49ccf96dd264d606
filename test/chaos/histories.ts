/** What Temporal's server kept of every run of every lane and every reconcile. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { nameOf, type HistoryEvent } from '../workflow/support/history.js';
import type { Rig } from './rig.js';

export interface RunHistory {
  readonly workflowId: string;
  readonly runId: string;
  readonly history: { readonly events?: HistoryEvent[] | null };
}

/** One after the other: all of a large run would not fit in memory. A run that ended before its first task did nothing. */
export async function* readHistories({ lanes: { client } }: Rig): AsyncGenerator<RunHistory> {
  for await (const { workflowId, runId } of client.workflow.list()) {
    // The schedule's own workflow is Temporal's.
    if (workflowId.startsWith('temporal-sys-')) continue;
    const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
    const hasBegun = (history.events ?? []).some((event) => nameOf(event) === 'workflowTaskCompleted');
    if (hasBegun) yield { workflowId, runId, history };
  }
}

/** One file a run, as `npm run replay:record -- --from` takes them. */
export async function writeHistories(rig: Rig, folder: string): Promise<void> {
  for await (const { workflowId, runId, history } of readHistories(rig)) {
    const entry = { workflowId, history: JSON.parse(historyToJSON(history)) as unknown };
    writeFileSync(join(folder, `${runId}.json`), JSON.stringify(entry));
  }
}
