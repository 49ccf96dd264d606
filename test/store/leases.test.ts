/**
 * Goal: a leased machine stays awake and a sleeping one is not leased, whoever comes first; one person has the keyboard. Method: lanes,
 * sleeps and takers on real Postgres, side by side; time is passed by moving what is stored.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { beginSleep } from '../../src/store/begin-sleep.js';
import { readEvents } from '../../src/store/events.js';
import { endLease, renewLease, takeLease, type TakeLease } from '../../src/store/leases.js';
import { buryMachine, setPhase } from '../../src/store/machines.js';
import { userToReconcile } from '../../src/store/reconcile.js';
import { statement } from '../../src/store/sql.js';
import { getUser, requestDestroy } from '../../src/store/users.js';
import { makeReady, openLane, openStore, type TestLane, type TestStore } from './support/lanes.js';

const LEASE_MS = 60_000;

let test: TestStore;
beforeAll(async () => {
  test = await openStore();
});
afterAll(() => test.close());

/** A lane at rest, its machine ready. */
async function awake(userId: string): Promise<TestLane> {
  const lane = openLane(test.store, userId);
  await lane.run('t1');
  await makeReady(test.store, lane);
  await lane.close('t1');
  return lane;
}

const take = (userId: string, more: Partial<TakeLease> = {}) =>
  takeLease(test.store, { userId, kind: 'terminal', holder: 'key ada', leaseMs: LEASE_MS, ...more });
const sleep = (lane: TestLane) => beginSleep(test.store, { ...lane, generation: 1 });

/** As if so much time had passed for this lease. */
const age = statement(
  'test_age_lease',
  `update machine_leases set taken_at = taken_at - $2 * interval '1 millisecond',
     expires_at = expires_at - $2 * interval '1 millisecond' where lease_id = $1`,
);
const pass = (leaseId: string, ms: number) => test.store.query(age, [leaseId, ms]);

const told = async (userId: string) =>
  (await readEvents(test.store, { userId, after: 0, limit: 100 }))
    .map(({ body }) => body)
    .filter(({ type }) => type.startsWith('terminal.'));
const selectNotes = statement(
  'test_terminal_notes',
  `select x.text, t.turn_id from transcript x left join turns t using (turn_key)
   where x.user_id = $1 and x.kind = 'note' order by x.seq`,
);
const notes = async (userId: string) =>
  (await test.store.query<{ text: string; turn_id: string | null }>(selectNotes, [userId])).rows;

describe('a lease', () => {
  it('is taken of a machine that is ready, and of no other', async () => {
    await expect(take('nobody')).rejects.toMatchObject({ code: 'USER_UNKNOWN' });
    const lane = openLane(test.store, 'unready');
    await lane.run('t1');
    await expect(take('unready')).rejects.toMatchObject({ code: 'MACHINE_ASLEEP' });
    await makeReady(test.store, lane);
    await lane.close('t1');
    expect(await take('unready')).toMatchObject({ userId: 'unready', generation: 1, machineId: 'm-unready-1' });
    for (const phase of ['sleeping', 'asleep', 'waking', 'failed'] as const) {
      await setPhase(test.store, { ...lane, generation: 1, phase });
      await expect(take('unready', { kind: 'files' })).rejects.toMatchObject({ code: 'MACHINE_ASLEEP' });
    }
    await requestDestroy(test.store, 'unready');
    await expect(take('unready')).rejects.toMatchObject({ code: 'USER_DESTROYED' });
  });

  it('keeps the machine awake until the last of several ends, by word or by itself', async () => {
    const lane = await awake('kept');
    const [terminal, files] = [await take('kept'), await take('kept', { kind: 'files', leaseMs: 2 * LEASE_MS })];
    expect(await sleep(lane)).toMatchObject({ kind: 'busy', until: files.expiresAt, row: { phase: 'ready' } });
    expect(await endLease(test.store, files)).toBe(true);
    expect(await endLease(test.store, files)).toBe(false);
    expect(await sleep(lane)).toMatchObject({ kind: 'busy', until: terminal.expiresAt });
    expect(await userToReconcile(test.store, lane.workflowId)).toMatchObject({ machine: { isLeased: true } });
    await pass(terminal.leaseId, LEASE_MS);
    expect(await userToReconcile(test.store, lane.workflowId)).toMatchObject({ machine: { isLeased: false } });
    expect(await sleep(lane)).toMatchObject({ kind: 'sleeping' });
  });

  it('is renewed while it lives and its machine is ready, and stays dead after that', async () => {
    const lane = await awake('renewed');
    const lease = await take('renewed');
    await pass(lease.leaseId, LEASE_MS - 1_000);
    const until = await renewLease(test.store, { ...lease, leaseMs: LEASE_MS });
    expect(until?.getTime()).toBeGreaterThanOrEqual(lease.expiresAt.getTime());
    await setPhase(test.store, { ...lane, generation: 1, phase: 'waking' });
    expect(await renewLease(test.store, { ...lease, leaseMs: LEASE_MS })).toBeUndefined();
    await setPhase(test.store, { ...lane, generation: 1, phase: 'ready' });
    await pass(lease.leaseId, LEASE_MS);
    expect(await renewLease(test.store, { ...lease, leaseMs: LEASE_MS })).toBeUndefined();
  });

  it('is shown with the user, and with its end no more', async () => {
    await awake('shown');
    expect((await getUser(test.store, 'shown')).machine).toMatchObject({ leasedUntil: null, terminal: null });
    const lease = await take('shown');
    const until = lease.expiresAt.toISOString();
    const shown = { leasedUntil: until, terminal: { holder: 'key ada', until } };
    expect((await getUser(test.store, 'shown')).machine).toMatchObject(shown);
    await pass(lease.leaseId, LEASE_MS);
    expect((await getUser(test.store, 'shown')).machine).toMatchObject({ leasedUntil: null, terminal: null });
  });

  it('ends with its machine', async () => {
    const lane = await awake('replaced');
    await take('replaced');
    await setPhase(test.store, { ...lane, generation: 1, phase: 'failed' });
    await buryMachine(test.store, { ...lane, generation: 1, existedUntil: new Date() });
    await makeReady(test.store, lane);
    expect((await getUser(test.store, 'replaced')).machine).toMatchObject({ generation: 2, terminal: null });
    expect(await take('replaced', { holder: 'key bob' })).toMatchObject({ generation: 2 });
  });

  it('and the beginning of sleep never both come to be', async () => {
    for (let round = 0; round < 20; round += 1) {
      const lane = await awake(`race-${round}`);
      const [begun, taken] = await Promise.all([
        sleep(lane),
        take(lane.userId, { kind: round % 2 === 0 ? 'terminal' : 'files' }).catch((error: unknown) => error),
      ]);
      if (begun.kind === 'sleeping') expect(taken).toMatchObject({ code: 'MACHINE_ASLEEP' });
      else expect([begun.kind, taken]).toEqual(['busy', expect.objectContaining({ generation: 1 })]);
    }
  });

  it('and its renewal at the last moment leave no machine asleep that is leased', async () => {
    for (let round = 0; round < 20; round += 1) {
      const lane = await awake(`last-${round}`);
      const lease = await take(lane.userId);
      await pass(lease.leaseId, LEASE_MS - 5);
      const [begun, until] = await Promise.all([sleep(lane), renewLease(test.store, { ...lease, leaseMs: LEASE_MS })]);
      if (begun.kind === 'sleeping') expect(until).toBeUndefined();
    }
  });
});

describe('the terminal', () => {
  it('goes to one of many who want it at once, and the others are told who has it', async () => {
    await awake('wanted');
    const takers = Array.from({ length: 12 }, (_, n) => take('wanted', { holder: `key ${n}` }));
    const settled = await Promise.allSettled(takers);
    const won = settled.findIndex(({ status }) => status === 'fulfilled');
    for (const [n, end] of settled.entries()) {
      if (n === won) continue;
      const details = { holder: `key ${won}`, until: expect.any(String) as string };
      expect(end).toMatchObject({ status: 'rejected', reason: { code: 'TERMINAL_TAKEN', details } });
    }
    expect(await told('wanted')).toEqual([{ type: 'terminal.taken', holder: `key ${won}` }]);
  });

  it('is taken by the next once it is handed back, and once its lease has died', async () => {
    await awake('next');
    const first = await take('next');
    await endLease(test.store, { ...first, handBack: { reason: 'handed_back', directory: '/root/work' } });
    const second = await take('next', { holder: 'key bob' });
    await pass(second.leaseId, LEASE_MS);
    await take('next', { holder: 'key cyd' });
    expect(await told('next')).toEqual([
      { type: 'terminal.taken', holder: 'key ada' },
      { type: 'terminal.handed_back', reason: 'handed_back', directory: '/root/work' },
      { type: 'terminal.taken', holder: 'key bob' },
      { type: 'terminal.handed_back', reason: 'expired', directory: null },
      { type: 'terminal.taken', holder: 'key cyd' },
    ]);
  });

  it('goes on elsewhere for its holder alone, who names the lease', async () => {
    await awake('moved');
    const lease = await take('moved');
    await expect(take('moved')).rejects.toMatchObject({ code: 'TERMINAL_TAKEN' });
    const replaces = lease.leaseId;
    await expect(take('moved', { holder: 'key bob', replaces })).rejects.toMatchObject({ code: 'TERMINAL_TAKEN' });
    const next = await take('moved', { replaces });
    expect(next.leaseId).not.toBe(lease.leaseId);
    expect(await renewLease(test.store, { ...lease, leaseMs: LEASE_MS })).toBeUndefined();
    // Nothing was handed back, so nothing is told.
    expect(await told('moved')).toHaveLength(1);
  });

  it('tells the agent within the turn that runs, else before the next words', async () => {
    const lane = openLane(test.store, 'noted');
    await lane.run('t1');
    await makeReady(test.store, lane);
    const lease = await take('noted');
    await endLease(test.store, { ...lease, handBack: { reason: 'exited', directory: '/root/a "b"' } });
    await lane.close('t1');
    const later = await take('noted');
    await pass(later.leaseId, LEASE_MS);
    await sleep(lane);
    const [taken, back, ...rest] = await notes('noted');
    expect(taken).toMatchObject({ turn_id: 't1', text: expect.stringContaining('A person has taken the keyboard') });
    expect(back).toMatchObject({ turn_id: 't1', text: expect.stringContaining(String.raw`is in "/root/a \"b\"" now`) });
    expect(rest.map(({ turn_id: turnId }) => turnId)).toEqual([null, null]);
  });

  it('and nothing of a transfer is told', async () => {
    await awake('quietly');
    for (let round = 0; round < 3; round += 1) await endLease(test.store, await take('quietly', { kind: 'files' }));
    expect(await told('quietly')).toEqual([]);
    const count = statement('test_count_leases', 'select count(*)::int as n from machine_leases where user_id = $1');
    expect((await test.store.query<{ n: number }>(count, ['quietly'])).rows).toEqual([{ n: 1 }]);
  });
});
