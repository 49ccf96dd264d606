/**
 * Goal: a lane whose run can never go on goes on all the same, in a run of its own, and no command is run twice; where its tasks fail
 * for another reason it is left as it is, and told. Method: workers of a build with other workflow code take over a lane in mid command.
 */
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CACHE_DIR, DIST_DIR, PROJECT_ROOT } from '../../src/dev/paths.js';
import type { Branch } from '../support/stack.js';
import { bundleChanged } from '../workflow/support/changed-bundle.js';
import { endOf, untilWritten } from './support/actions.js';
import { openLanes, type Lanes } from './support/lane-handle.js';
import { createReconciler, isOf, SOON, type Reconciler } from './support/reconcile.js';
import { leakedMachines, openStage, type Stage } from './support/stage.js';

const CASE_MS = 170_000;
/** More often than the SDK fails a task. */
const SIGNALS_MS = 2_000;
const ORDER = 'if (pairs.length > 0) upsertSearchAttributes(pairs);';

let stage: Stage;
let lanes: Lanes;
let reconciler: Reconciler;
const folders: string[] = [];
beforeAll(async () => {
  stage = await openStage({ env: SOON });
  lanes = await openLanes(stage.temporalAddress);
  reconciler = createReconciler(stage, lanes);
});
afterAll(async () => {
  expect(await leakedMachines(stage)).toEqual([]);
  await lanes.close();
  await stage.close();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Ends every worker of the stage, in mid turn, and starts one of a build in which the lane's board writes its attributes like this. */
async function deploy(changed: string): Promise<Branch> {
  const release = mkdtempSync(join(CACHE_DIR, 'release-'));
  folders.push(release);
  const distDir = join(release, 'dist');
  cpSync(DIST_DIR, distDir, { recursive: true });
  symlinkSync(join(PROJECT_ROOT, 'migrations'), join(release, 'migrations'));
  const { code } = await bundleChanged('board.ts', { [ORDER]: changed });
  writeFileSync(join(distDir, 'workflow-bundle.js'), code);
  await killWorkers(stage.stack);
  const branch = stage.stack.openBranch({ taskQueue: stage.stack.taskQueue, distDir });
  await branch.startWorker();
  return branch;
}

async function killWorkers({ workers }: Pick<Branch, 'workers'>): Promise<void> {
  for (const worker of workers.splice(0)) {
    worker.signal('SIGKILL');
    await worker.exited;
  }
}

it('a lane that cannot replay is ended, and its turn goes on in the next run', { timeout: CASE_MS }, async () => {
  const userId = 'cannot-replay';
  const prompt = '$ echo one >> ~/runs.txt; sleep 4; echo over\n$ echo two >> ~/runs.txt';
  await stage.stack.client.submitTurn({ userId, turnId: 'turn', prompt });
  await untilWritten(stage, userId, 'runs.txt');
  const branch = await deploy('for (const pair of pairs) upsertSearchAttributes([pair]);');

  // Every signal is a new task to Temporal, with attempts of its own.
  const signals = setInterval(
    () =>
      void lanes
        .of(userId)
        .signal('look')
        .catch(() => undefined),
    SIGNALS_MS,
  );
  const finding = await reconciler
    .until('the lane', isOf(userId, 'lane_not_running'))
    .finally(() => clearInterval(signals));
  expect(finding).toMatchObject({ action: 'enqueueTurn', reason: 'lane_cannot_replay', outcome: 'done' });
  expect(await endOf(stage.stack.client, { userId, turnId: 'turn' })).toMatchObject({ state: 'completed' });
  expect(await stage.lines(userId, 'runs.txt')).toEqual(['one', 'two']);
  expect((await stage.journal(userId)).map(({ starts }) => starts)).toEqual([1, 1]);
  expect(await stage.database.turns(userId)).toMatchObject([{ ends: 1 }]);
  const [ended, next] = await lanes.runs(userId);
  const { status } = await lanes.client.workflow.getHandle(lanes.of(userId).workflowId, ended?.runId).describe();
  expect([status.name, next === undefined]).toEqual(['TERMINATED', false]);

  await killWorkers(branch);
  await branch.stop();
  await stage.stack.startWorker();
});

it(
  'a lane whose code throws is left as it is, and told; a release that mends it goes on',
  { timeout: CASE_MS },
  async () => {
    const userId = 'task-fails';
    await stage.stack.client.submitTurn({
      userId,
      turnId: 'turn',
      prompt: '$ echo one >> ~/runs.txt; sleep 4; echo over',
    });
    await untilWritten(stage, userId, 'runs.txt');
    const branch = await deploy("if (pairs.length > 0) throw new TypeError('planted');");

    const finding = await reconciler.until('the lane', isOf(userId, 'lane_not_running'));
    expect(finding).toMatchObject({ action: 'report', reason: 'lane_task_fails', outcome: 'none' });

    await killWorkers(branch);
    await branch.stop();
    await stage.stack.startWorker();
    expect(await endOf(stage.stack.client, { userId, turnId: 'turn' })).toMatchObject({ state: 'completed' });
    expect(await stage.lines(userId, 'runs.txt')).toEqual(['one']);
    expect(await lanes.runs(userId)).toHaveLength(1);
  },
);
