/** Goal: one run owns a lane, and turns are opened in order of position, under its number. Method: two runs, real Postgres. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requestCancel } from '../../src/store/admission.js';
import { beginCall } from '../../src/store/calls.js';
import { readEvents } from '../../src/store/events.js';
import { contactLane, recordRejection, requireLane } from '../../src/store/lane.js';
import { adoptTurn, openNextTurn } from '../../src/store/next-turn.js';
import { withTransaction } from '../../src/store/pool.js';
import { settleCall } from '../../src/store/settle.js';
import { beginStep, storeAnswer } from '../../src/store/steps.js';
import { failOpenTurns, getTurn } from '../../src/store/turns.js';
import { requestDestroy, setIdle } from '../../src/store/users.js';
import { bash, DEFAULTS, makeReady, openLane, openStore, type TestLane, type TestStore } from './support/lanes.js';
import { statement } from '../../src/store/sql.js';

let test: TestStore;
beforeAll(async () => {
  test = await openStore();
});
afterAll(() => test.close());

const contact = (lane: TestLane) => withTransaction(test.store, (tx) => contactLane(tx, lane));
const own = (lane: TestLane) => withTransaction(test.store, (tx) => requireLane(tx, lane));
const eventTypes = async (userId: string) =>
  (await readEvents(test.store, { userId, after: 0, limit: 100 })).map((event) => event.body.type);

describe('ownership', () => {
  it('numbers each change of the owner, and refuses every run but the last to make contact', async () => {
    const [first, second] = [openLane(test.store, 'own'), openLane(test.store, 'own', 'run-2')];
    await first.admit('t1');
    expect(await contact(first)).toMatchObject({ lane: 1, state: 'active' });
    expect(await contact(first)).toMatchObject({ lane: 1 });
    expect(await own(first)).toMatchObject({ lane: 1, userId: 'own' });
    await expect(own(second)).rejects.toMatchObject({ code: 'STALE_LANE' });
    expect(await contact(second)).toMatchObject({ lane: 2 });
    await expect(own(first)).rejects.toMatchObject({ code: 'STALE_LANE' });
    expect(await contact(first)).toMatchObject({ lane: 3 });
    await expect(own(second)).rejects.toMatchObject({ code: 'STALE_LANE' });
  });

  it('gives different numbers to runs that make contact at once', async () => {
    await openLane(test.store, 'race').admit('t1');
    const lanes = Array.from({ length: 8 }, (_, index) => openLane(test.store, 'race', `run-${index}`));
    const users = await Promise.all(lanes.map(contact));
    expect(users.map((user) => user?.lane).toSorted()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const owners = await Promise.allSettled(lanes.map(own));
    expect(owners.filter((owner) => owner.status === 'fulfilled')).toHaveLength(1);
  });

  it('tells a lane without a user so', async () => {
    expect(await openLane(test.store, 'nobody').open()).toMatchObject({
      lane: { userState: 'unknown', phase: 'none', generation: 0, idleMs: DEFAULTS.idleMs },
      turn: null,
    });
  });
});

describe('openNextTurn', () => {
  it('opens the lowest position, once, and the next only after its end', async () => {
    const lane = openLane(test.store, 'order');
    for (const id of ['t1', 't2', 't3']) await lane.admit(id);
    expect(await lane.open()).toMatchObject({
      lane: { userState: 'active', turnCount: 0, lastTurnAtMs: null, stepsMax: 50 },
      turn: { turnId: 't1', position: 1, step: 0, calls: null, mustSettle: false, mustClose: null },
    });
    expect((await lane.open()).turn).toMatchObject({ turnId: 't1' });
    await lane.close('t1');
    await requestCancel(test.store, { userId: 'order', turnId: 't2' });
    const third = await lane.open();
    expect(third).toMatchObject({ lane: { turnCount: 1 }, turn: { turnId: 't3', position: 3 } });
    expect(third.lane.lastTurnAtMs).toBeGreaterThan(0);
    const view = await getTurn(test.store, { userId: 'order', turnId: 't3' });
    expect(Date.parse(view.deadlineAt ?? '') - Date.parse(view.startedAt ?? '')).toBe(DEFAULTS.wallMs);
    await lane.close('t3');
    expect((await lane.open()).turn).toBeNull();
    expect(await eventTypes('order')).toEqual([
      ...['turn.queued', 'turn.queued', 'turn.queued', 'turn.started', 'turn.ended', 'turn.ended', 'turn.started'],
      'turn.ended',
    ]);
  });

  it('gives the running turn to the next run at its step', async () => {
    const lane = openLane(test.store, 'takeover');
    const turn = await lane.run('t1');
    await lane.answer(turn, 0, [bash('true'), bash('false')]);
    const next = openLane(test.store, 'takeover', 'run-2');
    const { turn: resumed } = await next.open();
    expect(resumed).toMatchObject({ turnId: 't1', step: 0, mustSettle: false, deadlineAtMs: turn.deadlineAtMs });
    expect(resumed?.calls).toEqual([
      { index: 0, tool: 'bash', isSettled: false },
      { index: 1, tool: 'bash', isSettled: false },
    ]);
    expect(await eventTypes('takeover')).toContain('turn.resumed');
    await expect(beginStep(test.store, { ...lane, turnKey: turn.turnKey, step: 1 })).rejects.toMatchObject({
      code: 'STALE_LANE',
    });
    expect(await beginStep(test.store, { ...next, turnKey: turn.turnKey, step: 1 })).toMatchObject({
      kind: 'begin',
      try: 1,
    });
  });

  it('has commands of an earlier run settled before any step of the turn', async () => {
    const lane = openLane(test.store, 'settle');
    const turn = await lane.run('t1');
    await lane.answer(turn, 0, [bash('sleep 60')]);
    const machine = await makeReady(test.store, lane);
    const key = { turnKey: turn.turnKey, step: 0, index: 0 };
    const begun = await beginCall(test.store, {
      ...lane,
      ...key,
      boot: { generation: machine.generation, bootId: 'boot-1' },
    });
    expect(begun).toMatchObject({ kind: 'begin', isSubmissionStored: true });

    const next = openLane(test.store, 'settle', 'run-2');
    expect((await next.open()).turn).toMatchObject({ mustSettle: true });
    expect((await next.open()).turn).toMatchObject({ mustSettle: true });
    await expect(beginStep(test.store, { ...next, turnKey: turn.turnKey, step: 1 })).rejects.toMatchObject({
      code: 'STALE_LANE',
    });
    const adopt = () => withTransaction(test.store, (tx) => adoptTurn(tx, { ...next, turnKey: turn.turnKey }));
    expect(await adopt()).toBe(false);
    const result = {
      try: null,
      outcome: 'interrupted',
      reason: 'taken over',
      result: {},
      shown: 'interrupted',
    } as const;
    await settleCall(test.store, { ...next, ...key, ...result });
    expect(await adopt()).toBe(true);
    expect(await adopt()).toBe(true);
    expect((await eventTypes('settle')).filter((type) => type === 'turn.resumed')).toHaveLength(1);
    expect((await next.open()).turn).toMatchObject({ mustSettle: false, calls: [{ index: 0, isSettled: true }] });
  });

  it('has a turn closed that is past its deadline', async () => {
    const lane = openLane(test.store, 'overdue');
    await lane.admit('t1');
    const options = { workflowId: lane.workflowId, runId: lane.runId, defaults: { ...DEFAULTS, wallMs: 0 } };
    await openNextTurn(test.store, { ...options, isContact: true });
    const { turn } = await openNextTurn(test.store, { ...options, isContact: false });
    expect(turn).toMatchObject({ turnId: 't1', mustClose: 'deadline' });
  });

  it('opens nothing for a user that is being destroyed', async () => {
    const lane = openLane(test.store, 'gone');
    await lane.run('t1');
    await requestDestroy(test.store, 'gone');
    expect(await lane.open()).toMatchObject({ lane: { userState: 'destroying' }, turn: null });
  });

  it("answers the user's own idle time", async () => {
    const lane = openLane(test.store, 'idle');
    await lane.admit('t1');
    await setIdle(test.store, { userId: 'idle', idleMs: 1234 });
    expect((await lane.open()).lane.idleMs).toBe(1234);
    await setIdle(test.store, { userId: 'idle', idleMs: null });
    expect((await lane.open()).lane.idleMs).toBe(DEFAULTS.idleMs);
    await expect(setIdle(test.store, { userId: 'no one', idleMs: 1 })).rejects.toMatchObject({ code: 'USER_UNKNOWN' });
  });
});

describe('sequences', () => {
  it('have no gap and no reader sees a later one first, whoever appends at once', async () => {
    const lane = openLane(test.store, 'gapless');
    const turn = await lane.run('t0');
    const work = Array.from({ length: 15 }, (_, index) => lane.admit(`t${index + 1}`));
    const answers = lane.answer(turn, 0, [bash('true')]);
    const seen: number[] = [];
    let isDone = false;
    const all = Promise.all([...work, answers]).finally(() => (isDone = true));
    while (!isDone) {
      const events = await readEvents(test.store, { userId: 'gapless', after: seen.at(-1) ?? 0, limit: 3 });
      seen.push(...events.map((event) => event.seq));
    }
    await all;
    const rest = await readEvents(test.store, { userId: 'gapless', after: seen.at(-1) ?? 0, limit: 100 });
    const seqs = [...seen, ...rest.map((event) => event.seq)];
    expect(seqs).toEqual(Array.from({ length: 18 }, (_, index) => index + 1));
  });
});

describe('rejections', () => {
  it('are recorded, also of a lane without a user', async () => {
    const said = { signal: 'enqueueTurn', code: 'MESSAGE_INVALID', reason: 'no\u0000payload' } as const;
    await recordRejection(test.store, { workflowId: 'user-machine/ghost', ...said });
    const select = statement(
      'test_rejections',
      'select user_id, signal, code, reason from rejected_messages where workflow_id = $1',
    );
    const { rows } = await test.store.query(select, ['user-machine/ghost']);
    expect(rows).toEqual([{ user_id: null, ...said, reason: 'no\uFFFDpayload' }]);
  });
});

describe('failOpenTurns', () => {
  it('ends the running and the waiting turns, and counts only what ran', async () => {
    const lane = openLane(test.store, 'fail');
    await lane.run('t1');
    await lane.admit('t2');
    const count = await withTransaction(test.store, async (tx) =>
      failOpenTurns(tx, { user: await requireLane(tx, lane), code: 'USER_DESTROYED' }),
    );
    expect(count).toBe(2);
    expect((await lane.open()).lane).toMatchObject({ turnCount: 1 });
    expect(await getTurn(test.store, { userId: 'fail', turnId: 't2' })).toMatchObject({
      state: 'failed',
      errorCode: 'USER_DESTROYED',
    });
    expect((await eventTypes('fail')).filter((type) => type === 'turn.ended')).toHaveLength(2);
  });
});

describe('storeAnswer under a lost lane', () => {
  it('writes nothing', async () => {
    const lane = openLane(test.store, 'fenced');
    const turn = await lane.run('t1');
    await beginStep(test.store, { ...lane, turnKey: turn.turnKey, step: 0 });
    await contact(openLane(test.store, 'fenced', 'run-2'));
    const before = await eventTypes('fenced');
    const late = storeAnswer(test.store, {
      ...lane,
      turnKey: turn.turnKey,
      step: 0,
      try: 1,
      answer: { text: 'late', finish: 'stop', model: 'm', usage: undefined },
      calls: [],
      close: { outcome: 'completed', code: null },
    });
    await expect(late).rejects.toMatchObject({ code: 'STALE_LANE' });
    expect(await eventTypes('fenced')).toEqual(before);
    expect(await getTurn(test.store, { userId: 'fenced', turnId: 't1' })).toMatchObject({
      state: 'running',
      answer: null,
      steps: 0,
    });
  });
});
