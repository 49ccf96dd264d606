/**
 * Goal: whatever changes between a look and an act, nothing that has an owner is destroyed and no lane is told what is not so. Method:
 * the reconciler's activities on real Postgres, with a provider and lanes that answer as they are told.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LaneState } from '../../src/contracts/lane-state.js';
import type { ReportedFinding } from '../../src/contracts/reconcile.js';
import type { Machine } from '../../src/machines/provider.js';
import { noteFinding } from '../../src/store/findings.js';
import { beginProvision, buryMachine, setPhase } from '../../src/store/machines.js';
import type { Store } from '../../src/store/pool.js';
import { now } from '../../src/store/reconcile.js';
import { statement } from '../../src/store/sql.js';
import { createTestActivity } from '../unit/activities/support.js';
import { makeReady, newKey, openLane, openStore, SIZE, type TestLane, type TestStore } from './support/lanes.js';
import { machineOf, ReconcileWorld } from './support/reconcile-world.js';

let test: TestStore;
beforeAll(async () => {
  test = await openStore();
});
afterAll(() => test.close());

let world: ReconcileWorld;
beforeEach(() => {
  world = new ReconcileWorld();
});

let reconciles = 0;
/** Both pages of one reconcile. */
async function reconcile(
  options: { destroysLeft?: number; startedAt?: Date; isDryRun?: boolean; store?: Store; as?: string } = {},
): Promise<ReportedFinding[]> {
  const { destroysLeft = 10, isDryRun = false } = options;
  const startedAtMs = (options.startedAt ?? (await now(test.store))).getTime();
  const reconcileId = options.as ?? `pages-${(reconciles += 1)}`;
  const ref = { reconcileId, startedAtMs, isDryRun };
  const activities = world.activities(options.store ?? test.store);
  return createTestActivity().run(async () => {
    const machines = await activities.reconcileProvider({ ...ref, cursor: null, destroysLeft });
    const users = await activities.reconcileUsers({ ...ref, after: '', isListingWhole: true });
    return [...machines.findings, ...users.findings];
  });
}

const exec = (name: string, text: string, values: unknown[] = []) => test.store.query(statement(name, text), values);

/** A machine that was first seen long ago, so that nothing but its owner may save it. */
async function seenLongAgo(machineId: string): Promise<Machine> {
  const subject = { kind: 'unknown_machine', subject: machineId, workflowId: null } as const;
  const { findingId } = await noteFinding(test.store, { ...subject, reconcileId: 'long-ago' });
  const age = `update reconcile_findings set first_seen_at = now() - interval '1 day' where finding_id = $1::bigint`;
  await exec('test_age', age, [findingId]);
  return machineOf(machineId);
}

/** Nothing has happened to the user for a day. */
async function quieten({ userId }: TestLane): Promise<void> {
  const age = `update turn_events set at = at - interval '1 day' where user_id = $1`;
  await exec('test_quieten', age, [userId]);
  await exec('test_older', `update machines set created_at = created_at - interval '1 day' where user_id = $1`, [
    userId,
  ]);
}

/** A user with a machine in this phase, no turn open, and quiet. */
async function quietUser(
  userId: string,
  phase: 'ready' | 'asleep' = 'ready',
): Promise<TestLane & { machineId: string }> {
  const lane = openLane(test.store, userId);
  await lane.run('t');
  await lane.close('t');
  const { machineId } = await makeReady(test.store, lane);
  await setPhase(test.store, { ...lane, generation: 1, phase });
  await quieten(lane);
  return { ...lane, machineId: machineId ?? '' };
}
const of = (findings: readonly ReportedFinding[], subject: string): ReportedFinding[] =>
  findings.filter((finding) => finding.subject === subject);

describe('a machine of the list', () => {
  it('that the ledger spells in another way is known, and there', async () => {
    const lane = await quietUser('spelled', 'asleep');
    const spelled = lane.machineId.startsWith('dm-') ? lane.machineId.slice(3) : `dm-${lane.machineId}`;
    world.listed = [machineOf(spelled, { phase: 'sleeping', desiredState: 'sleeping' })];
    expect(of(await reconcile(), spelled)).toEqual([]);
    expect(of(await reconcile(), lane.machineId)).toEqual([]);
    expect(world).toMatchObject({ destroys: [], told: [] });
    await buryMachine(test.store, { ...lane, generation: 1, existedUntil: new Date() });
  });

  it('whose row is stored between the reading of the ledger and the act is spared', async () => {
    const lane = openLane(test.store, 'just-stored');
    await lane.run('t');
    world.listed = [await seenLongAgo('m-just-stored-1')];
    // As a create that ends at just this moment.
    const store: Store = {
      ...test.store,
      async query(which, values) {
        if (which.name === 'note_finding') await makeReady(test.store, lane);
        return test.store.query(which, values);
      },
    };
    const findings = of(await reconcile({ store }), 'm-just-stored-1');
    expect(findings).toMatchObject([{ kind: 'unknown_machine', action: 'wait', outcome: 'none' }]);
    expect(world.destroys).toEqual([]);
  });

  it('that is on its way out by now is not asked to go', async () => {
    world.listed = [await seenLongAgo('m-going')];
    world.found.set('m-going', machineOf('m-going', { phase: 'destroying', desiredState: 'destroyed' }));
    await reconcile();
    expect(world.destroys).toEqual([]);
  });

  it('that failed at the provider and is nobody’s is destroyed like any other', async () => {
    world.listed = [{ ...(await seenLongAgo('m-failed')), phase: 'failed' }];
    expect(of(await reconcile(), 'm-failed')).toMatchObject([{ action: 'destroy', outcome: 'done' }]);
  });

  it('is destroyed up to a number, and the rest waits for the next reconcile', async () => {
    const ids = ['many-1', 'many-2', 'many-3'];
    world.listed = await Promise.all(ids.map(seenLongAgo));
    const first = await reconcile({ destroysLeft: 2 });
    expect(ids.map((id) => of(first, id)[0]?.action)).toEqual(['destroy', 'destroy', 'wait']);
    expect(world.destroys.map(({ machineId }) => machineId)).toEqual(['many-1', 'many-2']);
  });

  it('is asked to go with one key for each revision, whatever became of the request before', async () => {
    const machine = await seenLongAgo('m-stubborn');
    world.listed = [machine];
    world.failDestroy = 'PROVIDER_UNAVAILABLE';
    const failed = { action: 'destroy', outcome: 'failed', code: 'PROVIDER_UNAVAILABLE' };
    expect(of(await reconcile(), 'm-stubborn')).toMatchObject([failed]);
    await reconcile();
    world.listed = [{ ...machine, revision: '2' }];
    await reconcile();
    const keys = world.destroys.map(({ idempotencyKey }) => idempotencyKey);
    expect(world.destroys.map(({ ifMatch }) => ifMatch)).toEqual(['1', '1', '2']);
    expect(keys[1]).toBe(keys[0]);
    expect(keys[2]).not.toBe(keys[0]);
  });

  it('and buried is destroyed in a shared account too; a list older than the burial is not believed', async () => {
    const lane = await quietUser('buried');
    await buryMachine(test.store, { ...lane, generation: 1, existedUntil: new Date() });
    world.listed = [machineOf(lane.machineId)];
    world.found.set(lane.machineId, undefined);
    expect(of(await reconcile(), lane.machineId)).toEqual([]);
    world.found.clear();
    const shared = world.activities(test.store, { isAccountDedicated: false });
    const ref = { reconcileId: 'shared', startedAtMs: 0, isDryRun: false };
    const input = { ...ref, cursor: null, destroysLeft: 1 };
    const { findings, destroyed } = await createTestActivity().run(() => shared.reconcileProvider(input));
    expect(findings).toMatchObject([{ kind: 'buried_machine', action: 'destroy', outcome: 'done' }]);
    expect(destroyed).toBe(1);
  });

  it('is left alone by a dry run, which says what would be done and keeps nothing', async () => {
    world.listed = [await seenLongAgo('m-dry')];
    const before = await exec('test_findings', 'select * from reconcile_findings order by finding_id');
    expect(of(await reconcile({ isDryRun: true }), 'm-dry')).toMatchObject([{ action: 'destroy', outcome: 'dry_run' }]);
    expect(world.destroys).toEqual([]);
    expect((await exec('test_findings', 'select * from reconcile_findings order by finding_id')).rows).toEqual(
      before.rows,
    );
  });
});

describe('a machine that is missing from the list', () => {
  it('and whose creation was begun after the list is not even asked for', async () => {
    const lane = openLane(test.store, 'begun-later');
    await lane.run('t');
    await lane.close('t');
    const startedAt = await now(test.store);
    const { machineId } = await makeReady(test.store, lane);
    expect(of(await reconcile({ startedAt }), machineId ?? '')).toEqual([]);
    expect(world.finds).not.toContain(machineId);
  });

  it('and is there when it is asked for is no finding: it was made while the list was read', async () => {
    const lane = await quietUser('made-meanwhile');
    expect(of(await reconcile(), lane.machineId)).toEqual([]);
    expect(world.finds).toContain(lane.machineId);
    expect(world.told.filter(({ workflowId }) => workflowId === lane.workflowId)).toEqual([]);
  });

  it('and missing when it is asked for is told to its lane, with its generation', async () => {
    const lane = await quietUser('missing');
    world.found.set(lane.machineId, undefined);
    const findings = of(await reconcile(), lane.machineId);
    const { workflowId } = lane;
    expect(findings).toMatchObject([{ kind: 'machine_gone', workflowId, action: 'machineLost', outcome: 'done' }]);
    expect(world.told).toContainEqual({ workflowId, signal: 'machineLost', args: [{ generation: 1 }] });
  });

  it('because its lane buried it meanwhile is no finding', async () => {
    const lane = await quietUser('buried-meanwhile');
    world.found.set(lane.machineId, undefined);
    const store: Store = {
      ...test.store,
      async query(which, values) {
        if (which.name === 'select_user_to_reconcile' && values[0] === lane.workflowId) {
          await buryMachine(test.store, { ...lane, generation: 1, existedUntil: new Date() });
        }
        return test.store.query(which, values);
      },
    };
    expect(of(await reconcile({ store }), lane.machineId)).toEqual([]);
    expect(world.told.filter(({ workflowId }) => workflowId === lane.workflowId)).toEqual([]);
  });

  it('is told again by the next reconcile where its lane could not be reached', async () => {
    const lane = await quietUser('unreachable');
    world.found.set(lane.machineId, undefined);
    world.failTell = 'LANE_UNREACHABLE';
    expect(of(await reconcile(), lane.machineId)).toMatchObject([{ outcome: 'failed', code: 'LANE_UNREACHABLE' }]);
    world.failTell = undefined;
    expect(of(await reconcile(), lane.machineId)).toMatchObject([{ outcome: 'done', code: null }]);
    // A page that is repeated counts once.
    await reconcile({ as: 'twice' });
    await reconcile({ as: 'twice' });
    const seen = 'select times_seen from reconcile_findings where subject = $1';
    const { rows } = await exec('test_times', seen, [lane.machineId]);
    expect(rows).toEqual([{ times_seen: 3 }]);
  });
});

describe('a machine that is awake', () => {
  async function awake(userId: string): Promise<TestLane & { machineId: string }> {
    const lane = await quietUser(userId);
    world.listed = [machineOf(lane.machineId)];
    return lane;
  }
  const toldSleep = (lane: TestLane): boolean =>
    world.told.some(({ workflowId, signal }) => workflowId === lane.workflowId && signal === 'sleepNow');

  it('is put to sleep where its lane does not run', async () => {
    const lane = await awake('no-lane');
    expect(of(await reconcile(), lane.machineId)).toMatchObject([{ reason: 'lane_not_running', action: 'sleepNow' }]);
    expect(toldSleep(lane)).toBe(true);
  });

  it.each<[string, boolean, Partial<LaneState> | undefined]>([
    ['that will put it to sleep', false, { turn: null, idleDueAt: '2999-01-01T00:00:00Z' }],
    ['that is at work', false, { turn: { turnId: 't', position: 1, step: 0 }, idleDueAt: null }],
    ['that has forgotten it', true, { turn: null, idleDueAt: null }],
    ['that should have done so long ago', true, { turn: null, idleDueAt: '2020-01-01T00:00:00Z' }],
    ['that does not answer', true, undefined],
  ])('with a lane %s: told %s', async (what, isTold, state) => {
    const lane = await awake(`lane-${what.length}`);
    world.conditions.set(lane.workflowId, { kind: 'running' });
    if (state !== undefined) world.states.set(lane.workflowId, state);
    expect(of(await reconcile(), lane.machineId)).toHaveLength(isTold ? 1 : 0);
    expect(toldSleep(lane)).toBe(isTold);
  });

  it('whose lane cannot replay has that run ended before the lane is told; where it cannot be ended, nothing is told', async () => {
    const lane = await awake('lane-stuck');
    const { workflowId } = lane;
    world.conditions.set(workflowId, { kind: 'failing', runId: 'stuck', cannotReplay: true });
    const stuck = { kind: 'awake_without_reason', action: 'sleepNow', reason: 'lane_cannot_replay' };
    expect(of(await reconcile({ isDryRun: true }), lane.machineId)).toMatchObject([{ ...stuck, outcome: 'dry_run' }]);
    expect(world.terminated).toEqual([]);
    world.failTell = 'LANE_UNREACHABLE';
    expect(of(await reconcile(), lane.machineId)).toMatchObject([{ ...stuck, outcome: 'failed' }]);
    world.failTell = undefined;
    expect([world.terminated, toldSleep(lane)]).toEqual([[], false]);
    expect(of(await reconcile(), lane.machineId)).toMatchObject([{ ...stuck, outcome: 'done' }]);
    expect([world.terminated, toldSleep(lane)]).toEqual([[{ workflowId, runId: 'stuck' }], true]);
  });

  it('whose lane fails for another reason is reported, and its lane left alone', async () => {
    const lane = await awake('lane-failing');
    world.conditions.set(lane.workflowId, { kind: 'failing', runId: 'failing', cannotReplay: false });
    expect(of(await reconcile(), lane.machineId)).toMatchObject([
      { kind: 'awake_without_reason', action: 'report', reason: 'lane_task_fails', outcome: 'none' },
    ]);
    expect([world.terminated, toldSleep(lane)]).toEqual([[], false]);
  });

  it('by the list, and asleep when it is asked for, is no finding', async () => {
    const lane = await awake('asleep-by-now');
    world.found.set(lane.machineId, machineOf(lane.machineId, { phase: 'sleeping', desiredState: 'sleeping' }));
    expect(of(await reconcile(), lane.machineId)).toEqual([]);
  });
});

describe('a creation that nobody waits for', () => {
  it('is finished by its lane', async () => {
    const lane = openLane(test.store, 'unfinished');
    await lane.run('t');
    await beginProvision(test.store, { ...lane, size: SIZE, newKey, newNonce: newKey });
    await lane.close('t');
    expect(of(await reconcile(), lane.workflowId)).toEqual([]);
    await quieten(lane);
    expect(of(await reconcile(), lane.workflowId)).toMatchObject([{ kind: 'creation_unfinished', action: 'wakeNow' }]);
    expect(world.told).toContainEqual({ workflowId: lane.workflowId, signal: 'wakeNow', args: [] });
    await buryMachine(test.store, { ...lane, generation: 1, existedUntil: new Date() });
  });
});
