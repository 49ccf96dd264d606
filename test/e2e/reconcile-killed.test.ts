/**
 * A worker that dies in the middle of a reconcile costs nothing: another one goes on with the page, and what was done already is not
 * done again. Method: workers that kill themselves at a named point; the provider's ledger and the lane's history count what was asked.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../support/wait-for.js';
import { callsOf } from '../../src/story/record/provider-record.js';
import { say, untilPhase } from './support/actions.js';
import { openLanes, type Lanes } from './support/lane-handle.js';
import { openMortalWorker, type MortalWorker } from './support/mortal-worker.js';
import {
  createReconciler,
  isAbout,
  isOf,
  makeStray,
  SOON,
  untilProvider,
  type Reconciler,
} from './support/reconcile.js';
import { openStage, type Stage } from './support/stage.js';

const CASE_MS = 170_000;

let stage: Stage;
let lanes: Lanes;
let reconciler: Reconciler;
let mortal: MortalWorker;
beforeAll(async () => {
  stage = await openStage({ env: SOON });
  lanes = await openLanes(stage.temporalAddress);
  reconciler = createReconciler(stage, lanes);
  mortal = openMortalWorker(stage);
});
afterAll(async () => {
  await lanes.close();
  await mortal.branch.stop();
  await stage.close();
});

/** A reconcile whose first worker dies at this point, and whose second one ends it. */
async function reconcileThroughDeath(point: string): Promise<void> {
  await mortal.arm(point);
  const report = reconciler.run({ branch: mortal.branch });
  await mortal.succeed();
  expect(await report).toMatchObject({ listing: 'whole' });
}

describe('a worker that is killed', () => {
  it.each([
    'reconcileProvider/machines.list:after',
    'reconcileProvider/machines.destroy:after',
    'reconcileProvider/completion',
  ])('at %s: the stray is destroyed by one request', { timeout: CASE_MS }, async (point) => {
    await say(stage.stack.client, { userId: 'killed-somebody', turnId: point.replace('/', ' '), prompt: 'hello' });
    await untilPhase(stage, 'killed-somebody', 'ready');
    const stray = await makeStray(stage);
    await reconciler.until('the stray', isAbout(stray, 'unknown_machine'));
    await waitFor('the grace period is over', async () => {
      const [row] = await stage.sql<{ is_over: boolean }>(
        `select clock_timestamp() - first_seen_at > interval '5 seconds' as is_over
           from reconcile_findings where subject = $1`,
        [stray],
      );
      return row?.is_over;
    });
    const since = await stage.provider.mark();
    await reconcileThroughDeath(point);
    await untilProvider(stage, stray, 'destroyed');
    const calls = callsOf(await stage.provider.ledger(since), { route: 'machines.delete', machineId: stray });
    expect(calls).toHaveLength(1);
    await reconciler.run();
    expect(await reconciler.rows({ subject: stray })).toMatchObject([{ action: 'destroy', isOver: true }]);
  });

  it.each(['reconcileUsers/lanes.tell:before', 'reconcileUsers/lanes.tell:after', 'reconcileUsers/completion'])(
    'at %s: the lane hears that its machine is gone, and marks it lost once',
    { timeout: CASE_MS },
    async (point) => {
      const userId = point.replaceAll(/\W/g, '-');
      await say(stage.stack.client, { userId, turnId: 'turn', prompt: '$ true' });
      const machineId = await stage.machineId(userId);
      await stage.stack.emulator.call('POST', `/_emulator/machines/${machineId}/delete`);
      await untilProvider(stage, machineId, 'destroyed');
      await reconcileThroughDeath(point);
      await untilPhase(stage, userId, 'failed');
      await reconciler.run();
      expect((await reconciler.rows({ userId })).filter(isOf(userId, 'machine_gone'))).toMatchObject([
        { subject: machineId, isOver: true, timesSeen: 1 },
      ]);
      const { events } = await lanes.of(userId).fetchHistory();
      const types = (events ?? []).map((event) => event.activityTaskScheduledEventAttributes?.activityType?.name);
      expect(types.filter((type) => type === 'markMachineLost')).toHaveLength(1);
    },
  );
});
