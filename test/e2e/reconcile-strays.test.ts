/**
 * Machines at the provider that no live row of the ledger names: destroyed where the account is ours alone, reported where it is not,
 * and never one that a create in flight may own. Method: machines are made behind our back, and a worker dies between a creation and
 * its record; the provider's ledger says what became of them.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../support/wait-for.js';
import { endOf, say } from './support/actions.js';
import { openLanes, type Lanes } from './support/lane-handle.js';
import {
  createReconciler,
  isAbout,
  makeStray,
  orphans,
  SOON,
  untilProvider,
  type Reconciler,
} from './support/reconcile.js';
import { openStage, type Stage } from './support/stage.js';

const CASE_MS = 170_000;

let stage: Stage;
let lanes: Lanes;
let reconciler: Reconciler;
beforeAll(async () => {
  stage = await openStage({ env: SOON });
  lanes = await openLanes(stage.temporalAddress);
  reconciler = createReconciler(stage, lanes);
});
afterAll(async () => {
  expect(await orphans(stage)).toEqual([]);
  await lanes.close();
  await stage.close();
});

let turns = 0;
const tell = (userId: string, prompt = '$ echo run >> ~/runs.txt') =>
  say(stage.stack.client, { userId, turnId: `turn-${(turns += 1)}`, prompt });

async function withMachine(userId: string, idleMs?: number): Promise<string> {
  if (idleMs !== undefined) await stage.stack.client.createUser({ userId, idleMs });
  expect(await tell(userId), stage.stack.workerLog()).toMatchObject({ state: 'completed' });
  return stage.machineId(userId);
}

describe('a machine that nobody knows', () => {
  it('is destroyed after the grace period where the account is ours alone', { timeout: CASE_MS }, async () => {
    await withMachine('stray-somebody');
    const stray = await makeStray(stage);
    const first = await reconciler.until('the stray', isAbout(stray, 'unknown_machine'));
    expect(first).toMatchObject({ action: 'wait', reason: 'grace_period', outcome: 'none', userId: null });
    expect(await stage.provider.machine(stray)).toMatchObject({ phase: 'running' });
    const isDestroyed = isAbout(stray, 'unknown_machine');
    const last = await reconciler.until('its end', (one) => isDestroyed(one) && one.action === 'destroy');
    expect(last).toMatchObject({ outcome: 'done', reason: null });
    await untilProvider(stage, stray, 'destroyed');
    await reconciler.run();
    const rows = await reconciler.rows({ subject: stray });
    expect(rows).toMatchObject([{ action: 'destroy', outcome: 'done', isOver: true }]);
    expect(rows[0]?.timesSeen).toBeGreaterThan(1);
    // Nobody else's was touched.
    expect(await stage.provider.machine(await stage.machineId('stray-somebody'))).toMatchObject({ phase: 'running' });
  });

  it('is only reported where the account is shared', { timeout: CASE_MS }, async () => {
    const branch = stage.stack.openBranch({ env: { ...SOON, PROVIDER_ACCOUNT: 'shared', RECONCILE_GRACE_MS: '4001' } });
    const stray = await makeStray(stage);
    try {
      await branch.startWorker();
      const on = { branch };
      const first = await reconciler.until('the stray', isAbout(stray, 'unknown_machine'), on);
      expect(first).toMatchObject({ action: 'report', reason: 'account_is_shared', outcome: 'none' });
      await waitFor('the grace period is over', async () => {
        const [row] = await stage.sql<{ is_over: boolean }>(
          `select clock_timestamp() - first_seen_at > interval '6 seconds' as is_over
           from reconcile_findings where subject = $1`,
          [stray],
        );
        return row?.is_over;
      });
      const again = await reconciler.run(on);
      expect(again.findings.filter(isAbout(stray, 'unknown_machine'))).toMatchObject([{ action: 'report' }]);
      expect(await stage.provider.machine(stray)).toMatchObject({ phase: 'running' });
    } finally {
      await branch.stop();
      await stage.stack.emulator.call('POST', `/_emulator/machines/${stray}/delete`);
    }
  });

  it('is never one that a create in flight may own', { timeout: CASE_MS }, async () => {
    const userId = 'in-flight';
    const lane = stage.stack.openBranch();
    try {
      // Dies with the machine made, and its id known to nobody.
      const dying = await lane.startWorker({ WORKER_FAULT_POINT: 'provisionMachine/machines.create:after' });
      await lane.client.submitTurn({ userId, turnId: 'first', prompt: '$ echo run >> ~/runs.txt' });
      await dying.exited;
      const created = (await stage.provider.ledger(0)).findLast(({ kind }) => kind === 'machine.created')?.machineId;
      const machineId = created ?? '';
      const isIt = isAbout(machineId, 'unknown_machine');
      // Long past the grace period.
      await waitFor('it has been looked at for long enough', async () => {
        const { findings } = await reconciler.run();
        expect(findings.filter(isIt)).toMatchObject([{ action: 'wait', reason: 'create_in_flight', outcome: 'none' }]);
        const [row] = await stage.sql<{ is_long: boolean }>(
          `select clock_timestamp() - first_seen_at > interval '7 seconds' as is_long
           from reconcile_findings where subject = $1`,
          [machineId],
        );
        return row?.is_long;
      });
      await lane.startWorker();
      expect(await endOf(lane.client, { userId, turnId: 'first' })).toMatchObject({ state: 'completed' });
      expect(await stage.machineId(userId)).toBe(machineId);
      expect(await stage.creations(userId)).toHaveLength(1);
      await reconciler.run();
      expect(await reconciler.rows({ subject: machineId })).toMatchObject([{ action: 'wait', isOver: true }]);
      expect(await stage.provider.machine(machineId)).toMatchObject({ phase: 'running' });
    } finally {
      await lane.stop();
    }
  });
});

describe('a machine of a user who was destroyed', () => {
  it('and that lives on is destroyed', { timeout: CASE_MS }, async () => {
    const userId = 'buried-alive';
    const machineId = await withMachine(userId);
    await lanes.of(userId).terminate('an operator did it');
    // As after a deletion that the provider took back.
    await stage.sql(`update machines set phase = 'destroyed' where user_id = $1`, [userId]);
    await stage.sql(`update users set state = 'destroyed', destroyed_at = now() where user_id = $1`, [userId]);
    const finding = await reconciler.until('the machine', isAbout(machineId, 'buried_machine'));
    expect(finding).toMatchObject({ action: 'destroy', outcome: 'done' });
    await untilProvider(stage, machineId, 'destroyed');
    await reconciler.run();
    expect(await reconciler.rows({ userId })).toMatchObject([
      { kind: 'buried_machine', subject: machineId, isOver: true },
    ]);
  });
});
