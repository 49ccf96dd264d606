/**
 * Reconciles without anybody asking, and what an operator sees of them. Method: workers with an interval of a second make, keep and
 * remove the schedule; the command is typed into a terminal of 80 columns.
 */
import { join } from 'node:path';
import { spawn } from '@lydell/node-pty';
import { ScheduleNotFoundError } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { laneWorkflowId, reconcileScheduleId } from '../../src/contracts/ids.js';
import { PROJECT_ROOT } from '../../src/dev/paths.js';
import { admitTurn } from '../../src/store/admission.js';
import { createPool, type Store } from '../../src/store/pool.js';
import { waitFor } from '../support/wait-for.js';
import { endOf, say } from './support/actions.js';
import { runProgram } from './support/command.js';
import { openLanes, type Lanes } from './support/lane-handle.js';
import { createReconciler, makeStray, reportedOf, SOON, untilProvider, type Reconciler } from './support/reconcile.js';
import { openStage, type Stage } from './support/stage.js';

const CASE_MS = 170_000;
const COLUMNS = 80;

let stage: Stage;
let lanes: Lanes;
let store: Store;
let reconciler: Reconciler;
beforeAll(async () => {
  stage = await openStage({ env: SOON });
  lanes = await openLanes(stage.temporalAddress);
  store = createPool({ url: stage.databaseUrl, poolMax: 2, applicationName: 'innkeeper-test' });
  reconciler = createReconciler(stage, lanes);
});
afterAll(async () => {
  await store.end();
  await lanes.close();
  await stage.close();
});

function environment(): Record<string, string> {
  const { temporalAddress, databaseUrl, stack } = stage;
  return { TEMPORAL_ADDRESS: temporalAddress, TEMPORAL_TASK_QUEUE: stack.taskQueue, DATABASE_URL: databaseUrl };
}

/** Types a command into a terminal. */
function type(...args: string[]): Promise<{ readonly code: number; readonly lines: string[] }> {
  return new Promise((resolve) => {
    const program = join(PROJECT_ROOT, 'dist', 'cli.js');
    const env = { PATH: process.env['PATH'] ?? '', ...environment() };
    const terminal = spawn(process.execPath, [program, ...args], { cols: COLUMNS, rows: 24, env });
    let output = '';
    terminal.onData((data) => (output += data));
    terminal.onExit(({ exitCode }) => resolve({ code: exitCode, lines: output.trimEnd().split('\r\n') }));
  });
}

describe('the schedule', () => {
  const intervalOf = async (taskQueue: string) => {
    const { spec, policies, state } = await lanes.client.schedule.getHandle(reconcileScheduleId(taskQueue)).describe();
    return { every: spec.intervals?.map(({ every }) => every), overlap: policies.overlap, paused: state.paused };
  };

  it(
    'is made by a worker, heals by itself, follows its setting, stays paused, and goes with it',
    { timeout: CASE_MS },
    async () => {
      const branch = stage.stack.openBranch();
      const { taskQueue } = branch;
      const handle = lanes.client.schedule.getHandle(reconcileScheduleId(taskQueue));
      async function restart(RECONCILE_INTERVAL_MS: string): Promise<void> {
        for (const worker of branch.workers.splice(0)) await worker.stop();
        await branch.startWorker({ RECONCILE_INTERVAL_MS });
      }
      try {
        await restart('1000');
        await branch.startWorker({ RECONCILE_INTERVAL_MS: '1000' });
        expect(await intervalOf(taskQueue)).toEqual({ every: [1_000], overlap: 'SKIP', paused: false });
        const turn = { userId: 'unheard', turnId: 'turn' };
        const workflowId = laneWorkflowId(turn.userId);
        await admitTurn(store, { ...turn, workflowId, prompt: '$ echo one >> ~/runs.txt', openTurnsMax: 20 });
        expect(await endOf(branch.client, turn)).toMatchObject({ state: 'completed' });
        expect(await stage.lines(turn.userId, 'runs.txt')).toEqual(['one']);
        expect(await reconciler.rows({ userId: turn.userId })).toMatchObject([
          { kind: 'signal_lost', outcome: 'done' },
        ]);

        await handle.pause('an operator looks');
        await restart('3600000');
        expect(await intervalOf(taskQueue)).toEqual({ every: [3_600_000], overlap: 'SKIP', paused: true });
        // Nothing changed: nothing is written.
        const { info } = await handle.describe();
        await restart('3600000');
        expect((await handle.describe()).info.lastUpdatedAt).toEqual(info.lastUpdatedAt);

        await restart('0');
        await expect(handle.describe()).rejects.toThrow(ScheduleNotFoundError);
      } finally {
        await branch.stop();
      }
    },
  );
});

describe('an operator', () => {
  it('reads what would be done, what is done, and what was found, in 80 columns', { timeout: CASE_MS }, async () => {
    const userId = 'a user whose id is a good deal longer than one would like it to be, but allowed';
    await say(stage.stack.client, { userId, turnId: 'turn', prompt: '$ true' });
    const machineId = await stage.machineId(userId);
    const nothing = await type('reconcile', '--dry-run');
    expect(nothing.lines.slice(1)).toEqual(['Dry run: nothing is changed, nobody is told.', 'No findings.']);
    expect(await type('findings')).toMatchObject({ code: 0 });

    const stray = await makeStray(stage);
    await stage.stack.emulator.call('POST', `/_emulator/machines/${machineId}/delete`);
    await untilProvider(stage, machineId, 'destroyed');
    const before = await reconciler.rows();
    const dry = await type('reconcile', '--dry-run');
    expect(dry).toEqual({
      code: 0,
      lines: [
        expect.stringMatching(/^\d+ machines of the provider and \d+ users compared\.$/),
        'Dry run: nothing is changed, nobody is told.',
        '2 findings:',
        'unknown_machine',
        `  machine  ${stray}`,
        '  action   looked at again next time (grace period)',
        'machine_gone',
        expect.stringMatching(/^ {2}user {5}a user whose id is a good deal longer .*…$/),
        `  machine  ${machineId}`,
        '  action   would tell the lane machineLost',
      ],
    });
    expect(await reconciler.rows()).toEqual(before);
    expect(await stage.database.machine(userId)).toMatchObject({ phase: 'ready' });

    const real = await type('reconcile');
    expect(real.lines).toContain('  action   told the lane machineLost');
    await waitFor('the lane settled it', async () => (await stage.database.machine(userId))?.phase === 'failed');
    const again = await type('reconcile');
    expect(again.lines).toContain('1 earlier finding is over.');

    const open = await type('findings');
    expect(open.lines).toEqual([
      'unknown_machine',
      `  machine  ${stray}`,
      expect.stringMatching(/^ {2}action {3}/),
      expect.stringMatching(/^ {2}seen {5}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, 2 times, first /),
    ]);
    const all = await type('findings', '--all');
    expect(all.lines).toContain('machine_gone');
    for (const { lines } of [nothing, dry, real, again, open, all]) {
      for (const line of lines) expect([...line].length, line).toBeLessThanOrEqual(COLUMNS);
    }
  });

  it('gets the same as JSON, whole', { timeout: CASE_MS }, async () => {
    const userId = 'json';
    await say(stage.stack.client, { userId, turnId: 'turn', prompt: '$ true' });
    const machineId = await stage.machineId(userId);
    await stage.stack.emulator.call('POST', `/_emulator/machines/${machineId}/delete`);
    await untilProvider(stage, machineId, 'destroyed');
    const { code, stdout } = await runProgram('cli.js', ['reconcile', '--dry-run', '--json'], environment());
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as Awaited<ReturnType<Reconciler['run']>>;
    expect(report).toMatchObject({ isDryRun: true, listing: 'whole', resolved: 0 });
    expect(reportedOf(report, userId)).toMatchObject([
      { kind: 'machine_gone', userId, subject: machineId, action: 'machineLost', outcome: 'dry_run', code: null },
    ]);
    await reconciler.run();
    const listed = await runProgram('cli.js', ['findings', '--json'], environment());
    const { findings } = JSON.parse(listed.stdout) as { findings: { userId: string }[] };
    expect(findings.filter((finding) => finding.userId === userId)).toMatchObject([
      { kind: 'machine_gone', outcome: 'done', timesSeen: 1, resolvedAt: null },
    ]);
  });

  it(
    'is told where the list of the provider cannot be had, and where Temporal is away',
    { timeout: CASE_MS },
    async () => {
      const fault = { kind: 'status', status: 403, match: { route: 'machines.list' } };
      await stage.stack.emulator.call('POST', '/_emulator/faults', fault);
      const { code, lines } = await type('reconcile');
      expect(code).toBe(1);
      expect(lines).toContain("The provider's list cannot be had: PROVIDER_UNAUTHORIZED.");
      const away = { ...environment(), TEMPORAL_ADDRESS: '127.0.0.1:1' };
      const refused = await runProgram('cli.js', ['reconcile'], away);
      expect(refused).toMatchObject({ code: 1, stdout: '' });
      expect(refused.stderr).toContain('TEMPORAL_UNAVAILABLE');
    },
  );
});
