/** Whatever struck a lane, its code takes the same way again over what was recorded, and no task of a workflow failed. */
import { join } from 'node:path';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { DIST_DIR } from '../../../src/dev/paths.js';
import { failedTasks } from '../../workflow/support/history.js';
import { readHistories, type RunHistory } from '../histories.js';
import type { Rig } from '../rig.js';
import type { Check } from './check.js';

const WORKFLOW_BUNDLE = { codePath: join(DIST_DIR, 'workflow-bundle.js') };

export async function checkReplay(rig: Rig): Promise<Check> {
  const violations: string[] = [];
  let looked = 0;
  async function* lookedAt(): AsyncGenerator<RunHistory> {
    for await (const run of readHistories(rig)) {
      looked += 1;
      violations.push(...failedTasks(run.history.events ?? []).map((failure) => `${run.workflowId}: ${failure}`));
      yield run;
    }
  }
  // What does not replay is told by its result.
  Runtime.install({ logger: new DefaultLogger('ERROR', () => undefined) });
  for await (const { error, workflowId } of Worker.runReplayHistories(
    { workflowBundle: WORKFLOW_BUNDLE },
    lookedAt(),
  )) {
    if (error !== undefined) violations.push(`${workflowId}: ${error.message}`);
  }
  return {
    name: 'replay',
    promise: 'every run of every workflow replays, and none of their tasks failed',
    looked,
    violations,
  };
}
