/** Goal: what the reconciler reads and records is what ledger and record say at one instant. Method: lanes on real Postgres. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { FINDINGS_KEPT_MAX } from '../../src/contracts/limits.js';
import { FINDING_KINDS, type FindingKind } from '../../src/contracts/reconcile.js';
import { requestCancel } from '../../src/store/admission.js';
import { beginSleep } from '../../src/store/begin-sleep.js';
import {
  findingRequestKey,
  listFindings,
  noteFinding,
  peekFinding,
  resolveFindings,
  settleFinding,
} from '../../src/store/findings.js';
import { beginProvision, buryMachine, setPhase } from '../../src/store/machines.js';
import { ledgerOf, now, userIdsOf, userToReconcile, usersToReconcile } from '../../src/store/reconcile.js';
import { findSightings, forgetSightings, recordSightings } from '../../src/store/sightings.js';
import { statement } from '../../src/store/sql.js';
import { usage } from '../../src/store/usage.js';
import { requestDestroy } from '../../src/store/users.js';
import { makeReady, newKey, openLane, openStore, SIZE, type TestLane, type TestStore } from './support/lanes.js';

let test: TestStore;
beforeAll(async () => {
  test = await openStore();
});
afterAll(() => test.close());

const provision = (lane: TestLane) => beginProvision(test.store, { ...lane, size: SIZE, newKey, newNonce: newKey });

describe('the ledger', () => {
  it('is empty until a first machine is asked for, and then says which machines it knows and what is in flight', async () => {
    const before = await ledgerOf(test.store, ['m-known-1']);
    expect(before).toEqual({ known: [], oldestFlightAt: null, isEmpty: true });
    const lane = openLane(test.store, 'known');
    await lane.run('t');
    const beganAt = await now(test.store);
    await provision(lane);
    const inFlight = await ledgerOf(test.store, ['m-known-1']);
    expect(inFlight).toMatchObject({ known: [], isEmpty: false });
    expect(inFlight.oldestFlightAt?.getTime()).toBeGreaterThanOrEqual(beganAt.getTime());
    await makeReady(test.store, lane);
    const workflowId = 'user-machine/known';
    expect(await ledgerOf(test.store, ['stray', 'm-known-1', 'dm-m-known-1'])).toEqual({
      known: [{ machineId: 'm-known-1', workflowId, generation: 1, phase: 'ready' }],
      oldestFlightAt: null,
      isEmpty: false,
    });
    await buryMachine(test.store, { ...lane, generation: 1, existedUntil: new Date() });
    expect(await ledgerOf(test.store, ['m-known-1'])).toMatchObject({ known: [{ phase: 'destroyed' }] });
  });

  it('has no create in flight any more once its row is buried', async () => {
    const lane = openLane(test.store, 'refused');
    await lane.run('t');
    await provision(lane);
    expect((await ledgerOf(test.store, [])).oldestFlightAt).not.toBeNull();
    await buryMachine(test.store, { ...lane, generation: 1, existedUntil: new Date() });
    expect((await ledgerOf(test.store, [])).oldestFlightAt).toBeNull();
  });
});

describe('users to look at', () => {
  it('are those with a machine, an open turn or a destruction, page by page in order of their lanes', async () => {
    const lanes = ['page-a', 'page-b', 'page-c', 'page-d'].map((userId) => openLane(test.store, userId));
    const [machine, turn, done, destroying] = lanes as [TestLane, TestLane, TestLane, TestLane];
    await machine.run('t');
    await makeReady(test.store, machine);
    await machine.close('t');
    await turn.admit('t1');
    await turn.admit('t2');
    await done.run('t');
    await done.close('t');
    await destroying.run('t');
    await requestDestroy(test.store, destroying.userId);
    const ids: string[] = [];
    for (let after = 'user-machine/page'; ;) {
      const page = await usersToReconcile(test.store, { after, limit: 2 });
      ids.push(...page.map(({ workflowId }) => workflowId));
      if (page.length < 2) break;
      after = page.at(-1)?.workflowId ?? '';
    }
    expect(ids.filter((id) => id.startsWith('user-machine/page'))).toEqual([
      machine.workflowId,
      turn.workflowId,
      destroying.workflowId,
    ]);
    expect(await userToReconcile(test.store, machine.workflowId)).toMatchObject({
      ...{ state: 'active', turn: null },
      machine: { machineId: 'm-page-a-1', generation: 1, phase: 'ready', isMetered: false },
    });
    expect(await userToReconcile(test.store, turn.workflowId)).toMatchObject({
      ...{ machine: null, turn: { turnId: 't1', state: 'queued', cancelRequestedAt: null } },
    });
    expect(await userToReconcile(test.store, destroying.workflowId)).toMatchObject({ state: 'destroying' });
    expect(await userToReconcile(test.store, 'user-machine/nobody')).toBeUndefined();
    expect(await userIdsOf(test.store, [turn.workflowId, 'user-machine/nobody'])).toEqual(
      new Map([[turn.workflowId, 'page-b']]),
    );
  });

  it('show the turn that runs before those that wait, its cancel, the newest event and an open awake interval', async () => {
    const lane = openLane(test.store, 'facts');
    await lane.run('t1');
    await lane.admit('t2');
    await makeReady(test.store, lane);
    await setPhase(test.store, { ...lane, generation: 1, phase: 'ready', awakeFrom: new Date() });
    await requestCancel(test.store, { userId: lane.userId, turnId: 't1' });
    const row = await userToReconcile(test.store, lane.workflowId);
    expect(row).toMatchObject({
      turn: { turnId: 't1', state: 'running', cancelRequestedAt: expect.any(Date) as Date },
      machine: { isMetered: true },
    });
    const newest = statement('test_newest', 'select max(at) as at from turn_events where user_id = $1');
    const { rows } = await test.store.query<{ at: Date }>(newest, [lane.userId]);
    expect(row?.lastEventAt).toEqual(rows[0]?.at);
  });
});

describe('sightings', () => {
  it('are kept for one reconcile, the newest word on a machine counts, and are forgotten at its end', async () => {
    const seen = (machineKey: string, phase: string) => ({ machineKey, phase, isEnding: false });
    await recordSightings(test.store, { reconcileId: 'r1', sightings: [] });
    const twice = [seen('a', 'running'), seen('a', 'running'), seen('b', 'sleeping')];
    await recordSightings(test.store, { reconcileId: 'r1', sightings: twice });
    await recordSightings(test.store, { reconcileId: 'r1', sightings: [seen('b', 'running')] });
    await recordSightings(test.store, { reconcileId: 'r2', sightings: [seen('a', 'failed')] });
    const found = await findSightings(test.store, { reconcileId: 'r1', machineKeys: ['a', 'b', 'c'] });
    expect([...found.values()].map(({ machineKey, phase }) => `${machineKey} ${phase}`).sort()).toEqual([
      'a running',
      'b running',
    ]);
    await forgetSightings(test.store, 'r1');
    expect((await findSightings(test.store, { reconcileId: 'r1', machineKeys: ['a'] })).size).toBe(0);
    expect((await findSightings(test.store, { reconcileId: 'r2', machineKeys: ['a'] })).size).toBe(1);
  });
});

describe('findings', () => {
  const ofMachine = (subject: string, reconcileId = 'r1') =>
    ({ kind: 'unknown_machine', subject, workflowId: null, reconcileId }) as const;
  const settle = (findingId: string | undefined) =>
    settleFinding(test.store, {
      ...{ findingId: findingId ?? '', action: 'destroy', reason: null, outcome: 'failed', code: 'REVISION_CONFLICT' },
    });
  const rowsOf = async (subject: string) =>
    (await listFindings(test.store, { withResolved: true, limit: 1_000 })).filter((row) => row.subject === subject);

  it('are one row for as long as they last, counted once for each reconcile', async () => {
    const peeked = await peekFinding(test.store, ofMachine('m1'));
    expect(peeked.findingId).toBeUndefined();
    expect(peeked.firstSeenAt.getTime()).toBeLessThanOrEqual(peeked.now.getTime());
    const first = await noteFinding(test.store, ofMachine('m1'));
    await settle(first.findingId);
    const again = await noteFinding(test.store, ofMachine('m1'));
    const later = await noteFinding(test.store, ofMachine('m1', 'r2'));
    for (const noted of [again, later, await peekFinding(test.store, ofMachine('m1'))]) {
      expect(noted).toMatchObject({ findingId: first.findingId, firstSeenAt: first.firstSeenAt });
    }
    expect(await rowsOf('m1')).toMatchObject([
      { timesSeen: 2, outcome: 'pending', actedAt: expect.any(String) as string },
    ]);
    await settle(first.findingId);
    expect(await rowsOf('m1')).toMatchObject([
      { userId: null, action: 'destroy', outcome: 'failed', code: 'REVISION_CONFLICT', resolvedAt: null },
    ]);
  });

  it('of several users about turns of one id, and of several kinds, are different ones', async () => {
    const lanes = ['twin-1', 'twin-2'].map((userId) => openLane(test.store, userId));
    for (const lane of lanes) await lane.admit('same');
    const kinds: FindingKind[] = ['signal_lost', 'lane_not_running'];
    const all = lanes.flatMap(({ workflowId }) => kinds.map((kind) => ({ kind, subject: 'same', workflowId })));
    for (const finding of all) await noteFinding(test.store, { ...finding, reconcileId: 'r1' });
    const rows = await rowsOf('same');
    expect(rows.map(({ userId, kind }) => `${userId} ${kind}`).sort()).toEqual(
      ['twin-1 lane_not_running', 'twin-1 signal_lost', 'twin-2 lane_not_running', 'twin-2 signal_lost'].sort(),
    );
  });

  it('are over when a whole reconcile did not see them; what comes back is a new one', async () => {
    const old = await noteFinding(test.store, ofMachine('m2'));
    const turn = { kind: 'signal_lost', subject: 'm2-turn', workflowId: null, reconcileId: 'r1' } as const;
    const seen = await noteFinding(test.store, turn);
    // A Date has no microseconds: it takes the next millisecond to be later than what was just seen.
    const since = await vi.waitUntil(
      async () => {
        const instant = await now(test.store);
        return instant > seen.now && instant;
      },
      { interval: 1 },
    );
    await noteFinding(test.store, ofMachine('m3', 'r2'));
    // Only of the kinds that could be looked for.
    expect(await resolveFindings(test.store, { since, kinds: ['unknown_machine'] })).toBeGreaterThan(0);
    expect(await rowsOf('m2')).toMatchObject([{ resolvedAt: expect.any(String) as string }]);
    expect(await rowsOf('m2-turn')).toMatchObject([{ resolvedAt: null }]);
    expect(await rowsOf('m3')).toMatchObject([{ resolvedAt: null }]);
    const anew = await noteFinding(test.store, ofMachine('m2', 'r3'));
    expect(anew.findingId).not.toBe(old.findingId);
    expect(anew.firstSeenAt.getTime()).toBeGreaterThan(old.firstSeenAt.getTime());
    expect(await rowsOf('m2')).toHaveLength(2);
    const open = await listFindings(test.store, { withResolved: false, limit: 1_000 });
    expect(open.filter(({ resolvedAt }) => resolvedAt !== null)).toEqual([]);
    expect(await listFindings(test.store, { withResolved: true, limit: 1 })).toHaveLength(1);
  });

  it('keep one idempotency key for the request of one revision', async () => {
    const { findingId = '' } = await noteFinding(test.store, ofMachine('m4'));
    const key = (ifMatch: string | undefined) => findingRequestKey(test.store, { findingId, ifMatch, newKey });
    const first = await key('1');
    expect(await key('1')).toBe(first);
    const second = await key('2');
    expect(second).not.toBe(first);
    expect(await key('2')).toBe(second);
    const without = await key(undefined);
    expect(without).not.toBe(second);
    expect(await key(undefined)).toBe(without);
  });

  it('that are over are forgotten after a month, and above a number', async () => {
    const fill = statement(
      'test_fill_findings',
      `insert into reconcile_findings (kind, subject, reconcile_id, action, outcome, resolved_at)
       select 'unknown_machine', 'old-' || n, 'r', 'report', 'none', clock_timestamp() - n * interval '1 second'
       from generate_series(1, $1) n`,
    );
    const age = statement(
      'test_age_finding',
      `insert into reconcile_findings (kind, subject, reconcile_id, action, outcome, resolved_at)
       values ('unknown_machine', 'ancient', 'r', 'report', 'none', clock_timestamp() - interval '31 days')`,
    );
    await test.store.query(age, []);
    await resolveFindings(test.store, { since: new Date(0), kinds: FINDING_KINDS });
    expect(await rowsOf('ancient')).toEqual([]);
    await test.store.query(fill, [FINDINGS_KEPT_MAX + 5]);
    await resolveFindings(test.store, { since: new Date(0), kinds: FINDING_KINDS });
    const count = statement(
      'test_count_findings',
      `select count(*) filter (where resolved_at is not null) as over, count(*) filter (where resolved_at is null) as open
       from reconcile_findings`,
    );
    const { rows } = await test.store.query<{ over: number; open: number }>(count, []);
    expect(rows[0]?.over).toBe(FINDINGS_KEPT_MAX);
    expect(rows[0]?.open).toBeGreaterThan(0);
  });
});

describe('beginSleep', () => {
  const at = (seconds: number): Date => new Date(Date.UTC(2030, 0, 1) + seconds * 1_000);
  it('puts to sleep what somebody else woke, unless a turn is open, and meters the time', async () => {
    const lane = openLane(test.store, 'woken');
    await lane.run('t1');
    await makeReady(test.store, lane);
    const asleep = { ...lane, generation: 1, phase: 'asleep' } as const;
    await setPhase(test.store, { ...asleep, fields: { sleptAt: at(3) } });
    const begin = () => beginSleep(test.store, { ...lane, generation: 1, wokenAt: at(10) });
    expect(await begin()).toMatchObject({ kind: 'busy', row: { phase: 'asleep' } });
    await lane.close('t1');
    expect(await begin()).toMatchObject({ kind: 'sleeping', row: { phase: 'sleeping' } });
    await setPhase(test.store, { ...asleep, from: ['sleeping'], awakeUntil: at(15) });
    expect(await usage(test.store, { userId: 'woken', at: at(100) })).toMatchObject([{ awakeSeconds: 5 }]);
  });
});
