/** Goal: the ledger holds one live machine per user, and every request's key before it is sent. Method: lanes on real Postgres. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REPLACEMENT } from '../../src/contracts/events.js';
import { closeAwake, openAwake } from '../../src/store/awake.js';
import { beginSleep } from '../../src/store/begin-sleep.js';
import { readEvents } from '../../src/store/events.js';
import { requestKey, settleRequest } from '../../src/store/machine-requests.js';
import { beginProvision, buryMachine, getMachine, setPhase } from '../../src/store/machines.js';
import { statement } from '../../src/store/sql.js';
import { usage } from '../../src/store/usage.js';
import { settleDestroyed, settleOpenTurns } from '../../src/store/user-end.js';
import { createUser, getUser, listUsers, requestDestroy } from '../../src/store/users.js';
import { makeReady, newKey, openLane, openStore, SIZE, type TestLane, type TestStore } from './support/lanes.js';

let test: TestStore;
beforeAll(async () => {
  test = await openStore();
});
afterAll(() => test.close());

const at = (seconds: number): Date => new Date(Date.UTC(2030, 0, 1) + seconds * 1_000);
const provision = (lane: TestLane, more: object = {}) =>
  beginProvision(test.store, { ...lane, size: SIZE, newKey, newNonce: newKey, ...more });
const bodies = async (userId: string) =>
  (await readEvents(test.store, { userId, after: 0, limit: 100 })).map((event) => event.body);

/** A lane with one running turn. */
async function busyLane(userId: string): Promise<TestLane> {
  const lane = openLane(test.store, userId);
  await lane.run('t1');
  return lane;
}

/** A lane whose turns are over. */
async function idleLane(userId: string): Promise<TestLane> {
  const lane = await busyLane(userId);
  await lane.close('t1');
  return lane;
}

describe('beginProvision', () => {
  it('stores the row with its key once, and answers it to every retry', async () => {
    const lane = await busyLane('once');
    const first = await provision(lane, { autosleepSeconds: 2_400 });
    expect(first).toMatchObject({
      ...{ kind: 'provisioning', isNew: true },
      row: {
        generation: 1,
        phase: 'provisioning',
        machineId: null,
        autosleepSeconds: 2_400,
        replacedReason: null,
        ...SIZE,
      },
    });
    const again = await Promise.all([provision(lane), provision(lane, { autosleepSeconds: 1 })]);
    for (const retry of again) expect(retry).toEqual({ ...first, isNew: false });
    expect(await bodies('once')).toContainEqual({ type: 'machine.phase', phase: 'provisioning', generation: 1 });
  });

  it('replaces a failed machine by the next generation, and says why', async () => {
    const lane = await busyLane('replace');
    await makeReady(test.store, lane);
    expect(await provision(lane)).toMatchObject({ kind: 'exists', row: { phase: 'ready' } });
    await setPhase(test.store, {
      ...lane,
      generation: 1,
      phase: 'failed',
      fields: { lostReason: 'the provider lost it' },
    });
    expect(await provision(lane)).toMatchObject({ kind: 'bury', row: { generation: 1, phase: 'failed' } });
    await buryMachine(test.store, { ...lane, generation: 1, existedUntil: at(9) });
    const next = await provision(lane, { replacedNote: (reason: string) => `Replaced: ${reason}.` });
    expect(next).toMatchObject({
      kind: 'provisioning',
      row: { generation: 2, replacedReason: 'the provider lost it' },
    });
    expect(await bodies('replace')).toContainEqual({
      ...{ type: 'machine.replaced', generation: 2, ...REPLACEMENT },
      reason: 'the provider lost it',
    });
    const notes = statement('test_notes', `select text from transcript where user_id = $1 and kind = 'note'`);
    const { rows } = await test.store.query(notes, ['replace']);
    expect(rows).toEqual([{ text: 'Replaced: the provider lost it.' }]);
  });

  it('makes no machine for a user that is being destroyed, but still finishes a creation under way', async () => {
    const [without, creating] = [await busyLane('no-new'), await busyLane('creating')];
    await provision(creating);
    await requestDestroy(test.store, 'no-new');
    await requestDestroy(test.store, 'creating');
    await expect(provision(without)).rejects.toMatchObject({ code: 'USER_DESTROYED' });
    expect(await provision(creating)).toMatchObject({ kind: 'provisioning', isNew: false });
  });

  it('cannot make a second live machine, whatever the code does', async () => {
    const lane = await busyLane('constraint');
    await provision(lane);
    const second = statement(
      'test_second_machine',
      `insert into machines (user_id, generation, phase, create_key, vcpu, memory_mib, storage_gib, owner_nonce)
       values ($1, 2, 'provisioning', 'k', 1, 1, 1, 'n')`,
    );
    await expect(test.store.query(second, ['constraint'])).rejects.toMatchObject({ code: '23505' });
  });
});

describe('setPhase', () => {
  it('stores what is known, keeps what is left out, and logs changes only', async () => {
    const lane = await busyLane('fields');
    await provision(lane);
    const set = (more: object) => setPhase(test.store, { ...lane, generation: 1, phase: 'ready', ...more });
    await set({
      phase: 'bootstrapping',
      fields: { machineId: 'dm-1', existedFrom: at(0), bootId: 'b1', home: '/root' },
    });
    await set({ fields: { missing: ['nodejs'], existedFrom: at(5) } });
    const { isApplied, row } = await set({ fields: { bootId: null, wokenAt: at(7) } });
    expect(isApplied).toBe(true);
    expect(row).toMatchObject({
      ...{ phase: 'ready', machineId: 'dm-1', existedFrom: at(0), bootId: null, home: '/root' },
      ...{ missing: ['nodejs'], wokenAt: at(7) },
    });
    const phases = (await bodies('fields')).flatMap((body) => (body.type === 'machine.phase' ? [body.phase] : []));
    expect(phases).toEqual(['provisioning', 'bootstrapping', 'ready']);
    expect(await getUser(test.store, 'fields')).toMatchObject({
      machine: { phase: 'ready', machineId: 'dm-1', generation: 1, missing: ['nodejs'] },
    });
  });

  it('changes nothing from a phase that it may not come from, nor by a run that lost the lane', async () => {
    const lane = await busyLane('guard');
    const before = await makeReady(test.store, lane);
    const set = { ...lane, generation: 1, phase: 'asleep', from: ['sleeping'] } as const;
    expect(await setPhase(test.store, set)).toEqual({ isApplied: false, row: before });
    await openLane(test.store, 'guard', 'run-2').open();
    await expect(setPhase(test.store, { ...set, from: ['ready'] })).rejects.toMatchObject({ code: 'STALE_LANE' });
    expect(await getMachine(test.store, { userId: 'guard' })).toEqual(before);
  });
});

describe('requestKey', () => {
  const wake = (lane: TestLane, ifMatch: string | undefined) =>
    requestKey(test.store, { ...lane, generation: 1, kind: 'wake', ifMatch, newKey });

  it('is the same for retries of one request, and new for another revision or after the answer', async () => {
    const lane = await busyLane('keys');
    await makeReady(test.store, lane);
    const first = await wake(lane, '1');
    expect(first.isNew).toBe(true);
    expect(await wake(lane, '1')).toEqual({ key: first.key, isNew: false });
    const second = await wake(lane, '2');
    expect(second).toMatchObject({ isNew: true });
    expect(second.key).not.toBe(first.key);
    await settleRequest(test.store, { ...lane, key: second.key });
    await settleRequest(test.store, { ...lane, key: second.key });
    const third = await wake(lane, '2');
    expect(third.isNew).toBe(true);
    expect(await wake(lane, undefined)).toMatchObject({ isNew: true });
    expect(await wake(lane, undefined)).toMatchObject({ isNew: false });
    const sleep = await requestKey(test.store, { ...lane, generation: 1, kind: 'sleep', ifMatch: undefined, newKey });
    expect(sleep.isNew).toBe(true);
    expect(await wake(lane, undefined)).toMatchObject({ isNew: false });
  });
});

describe('beginSleep', () => {
  it('writes `sleeping` only where no turn is open', async () => {
    const lane = await busyLane('sleep');
    await makeReady(test.store, lane);
    const begin = () => beginSleep(test.store, { ...lane, generation: 1 });
    expect(await begin()).toMatchObject({ kind: 'busy', row: { phase: 'ready' } });
    await lane.close('t1');
    expect(await begin()).toMatchObject({ kind: 'sleeping', row: { phase: 'sleeping' } });
    await lane.admit('t2');
    expect(await begin()).toMatchObject({ kind: 'sleeping' });
    await setPhase(test.store, {
      ...lane,
      generation: 1,
      phase: 'asleep',
      from: ['sleeping'],
      fields: { sleptAt: at(3) },
    });
    expect(await begin()).toMatchObject({ kind: 'not_awake', row: { phase: 'asleep' } });
    expect(await beginSleep(test.store, { ...lane, generation: 2 })).toMatchObject({ kind: 'not_awake' });
  });

  it('never sleeps through a turn that is admitted at the same moment', async () => {
    for (let round = 0; round < 10; round += 1) {
      const lane = await idleLane(`sleep-race-${round}`);
      await makeReady(test.store, lane);
      const [begun] = await Promise.all([beginSleep(test.store, { ...lane, generation: 1 }), lane.admit('t2')]);
      const log = (await bodies(lane.userId)).map((body) => (body.type === 'machine.phase' ? body.phase : body.type));
      if (begun.kind === 'sleeping') expect(log.indexOf('sleeping')).toBeLessThan(log.lastIndexOf('turn.queued'));
      else expect(begun.kind).toBe('busy');
    }
  });
});

describe('usage', () => {
  it('adds up awake time and storage by the provider’s clock, what goes on up to the instant asked for', async () => {
    const lane = await busyLane('metered');
    const first = { ...lane, generation: 1 };
    await provision(lane, { size: { vcpu: 2, memoryMib: 2_048, storageGib: 10 } });
    await setPhase(test.store, {
      ...first,
      phase: 'ready',
      fields: { machineId: 'dm-m', existedFrom: at(0) },
      awakeFrom: at(10),
    });
    await setPhase(test.store, { ...first, phase: 'ready', awakeFrom: at(12) });
    await setPhase(test.store, { ...first, phase: 'asleep', awakeUntil: at(110) });
    await setPhase(test.store, { ...first, phase: 'asleep', awakeUntil: at(500) });
    await setPhase(test.store, { ...first, phase: 'ready', awakeFrom: at(200) });
    const of = async (seconds: number) => (await usage(test.store, { userId: 'metered', at: at(seconds) }))[0];
    expect(await of(250)).toEqual({ userId: 'metered', awakeSeconds: 150, vcpuSeconds: 300, gibSeconds: 2_500 });
    expect(await of(60)).toEqual({ userId: 'metered', awakeSeconds: 50, vcpuSeconds: 100, gibSeconds: 600 });
    expect(await of(-5)).toEqual({ userId: 'metered', awakeSeconds: 0, vcpuSeconds: 0, gibSeconds: 0 });
    await buryMachine(test.store, { ...first, existedUntil: at(300) });
    expect(await buryMachine(test.store, { ...first, existedUntil: at(400) })).toBe(false);
    expect(await of(1_000)).toEqual({ userId: 'metered', awakeSeconds: 200, vcpuSeconds: 400, gibSeconds: 3_000 });

    await provision(lane, { size: { vcpu: 0.5, memoryMib: 2_048, storageGib: 1 } });
    await setPhase(test.store, {
      ...{ ...lane, generation: 2, phase: 'ready', awakeFrom: at(400) },
      fields: { machineId: 'dm-n', existedFrom: at(400) },
    });
    expect(await of(1_000)).toEqual({ userId: 'metered', awakeSeconds: 800, vcpuSeconds: 700, gibSeconds: 3_600 });
    const all = await usage(test.store, { at: at(1_000) });
    expect(all.find((one) => one.userId === 'keys')).toMatchObject({ awakeSeconds: 0 });
    expect(all.map((one) => one.userId)).toEqual(all.map((one) => one.userId).toSorted());
  });

  it('never overlaps intervals, and takes an answer seen twice as one', async () => {
    const lane = await busyLane('overlap');
    await makeReady(test.store, lane);
    const machine = { userId: 'overlap', generation: 1 };
    expect(await openAwake(test.store, { ...machine, at: at(100) })).toBe(true);
    expect(await openAwake(test.store, { ...machine, at: at(105) })).toBe(false);
    expect(await closeAwake(test.store, { ...machine, at: at(150) })).toBe(true);
    expect(await openAwake(test.store, { ...machine, at: at(100) })).toBe(false);
    expect(await closeAwake(test.store, { ...machine, at: at(160) })).toBe(false);
    expect(await openAwake(test.store, { ...machine, at: at(120) })).toBe(true);
    expect(await closeAwake(test.store, { ...machine, at: at(90) })).toBe(true);
    expect(await openAwake(test.store, { ...machine, at: at(140) })).toBe(true);
    const [used] = await usage(test.store, { userId: 'overlap', at: at(200) });
    expect(used?.awakeSeconds).toBe(100);
  });
});

describe('the end of a user', () => {
  it('settles what is open, leaves a tombstone, and lets the user be made anew with the next generation', async () => {
    const lane = await busyLane('end');
    await makeReady(test.store, lane);
    await lane.admit('t2');
    await expect(settleOpenTurns(test.store, lane)).rejects.toThrow();
    expect(await requestDestroy(test.store, 'end')).toMatchObject({ state: 'destroying' });
    expect(await requestDestroy(test.store, 'end')).toMatchObject({ state: 'destroying' });
    expect(await settleOpenTurns(test.store, lane)).toEqual({ settled: 2 });
    await expect(settleDestroyed(test.store, lane)).rejects.toThrow('machine in the ledger');
    await buryMachine(test.store, { ...lane, generation: 1, existedUntil: at(0) });
    expect(await settleDestroyed(test.store, lane)).toEqual({ settled: 0 });
    expect(await settleDestroyed(test.store, lane)).toEqual({ settled: 0 });
    expect(await requestDestroy(test.store, 'end')).toMatchObject({ state: 'destroyed' });
    const gone = await getUser(test.store, 'end');
    expect(gone).toMatchObject({ state: 'destroyed', queueLength: 0, machine: { phase: 'destroyed', generation: 1 } });
    await expect(lane.admit('t3')).rejects.toMatchObject({ code: 'USER_DESTROYED' });
    expect((await lane.open()).lane).toMatchObject({ userState: 'destroyed', phase: 'destroyed' });

    const anew = { userId: 'end', workflowId: lane.workflowId, idleMs: 1_000 };
    expect(await createUser(test.store, anew)).toEqual({ created: true });
    expect(await createUser(test.store, anew)).toEqual({ created: false });
    expect((await lane.admit('t3')).position).toBe(3);
    expect(await provision(lane)).toMatchObject({ kind: 'provisioning', row: { generation: 2, replacedReason: null } });
    expect(await getUser(test.store, 'end')).toMatchObject({ state: 'active', idleMs: 1_000, destroyedAt: null });
  });

  it('names unknown users', async () => {
    await expect(requestDestroy(test.store, 'nobody')).rejects.toMatchObject({ code: 'USER_UNKNOWN' });
    await expect(getUser(test.store, 'nobody')).rejects.toMatchObject({ code: 'USER_UNKNOWN' });
  });

  it('lists users page by page', async () => {
    const ids: string[] = [];
    for (;;) {
      const page = await listUsers(test.store, { limit: 3, ...(ids.length > 0 ? { after: ids.at(-1) ?? '' } : {}) });
      ids.push(...page.map((user) => user.userId));
      if (page.length < 3) break;
    }
    expect(ids).toEqual(ids.toSorted());
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toContain('end');
  });
});
