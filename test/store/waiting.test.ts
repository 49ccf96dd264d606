/** Goal: whoever waits for a turn is told at its end. Method: waits beside a lane's work, with and without notices. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { requestCancel } from '../../src/store/admission.js';
import { withTransaction } from '../../src/store/pool.js';
import { requireLane } from '../../src/store/lane.js';
import { statement } from '../../src/store/sql.js';
import type { EventNotice } from '../../src/store/transaction.js';
import { createTurnListener, type TurnListener } from '../../src/store/turn-listener.js';
import { failOpenTurns, listTurns } from '../../src/store/turns.js';
import { openLane, openStore, type TestStore } from './support/lanes.js';

const listening = statement(
  'test_is_listening',
  `select 1 from pg_stat_activity where application_name = 'innkeeper-listener' and datname = current_database()
     and query like 'listen%' and state = 'idle'`,
);

let test: TestStore;
let listener: TurnListener;
beforeAll(async () => {
  test = await openStore();
});
beforeEach(async () => {
  listener = createTurnListener({ url: test.url, store: test.store });
  await vi.waitFor(async () => expect((await test.store.query(listening, [])).rowCount).toBe(1), { timeout: 10_000 });
});
afterEach(() => listener.close());
afterAll(() => test.close());

const wait = (userId: string, more: object = {}) =>
  listener.waitForEnd({ userId, turnId: 't1', timeoutMs: 30_000, ...more });

describe('waitForEnd', () => {
  it('resolves at the notice of the end', async () => {
    const lane = openLane(test.store, 'told');
    const turn = await lane.run('t1');
    const looks = vi.spyOn(test.store, 'query');
    const waiting = Promise.all([wait('told'), wait('told')]);
    await vi.waitFor(() => expect(looks).toHaveBeenCalledTimes(2));
    looks.mockRestore();
    await lane.answer(turn, 0, []);
    for (const turn of await waiting) expect(turn).toMatchObject({ state: 'completed', answer: 'answer 0' });
  });

  it('resolves at once for a turn that is over, and for one that is cancelled while it waits', async () => {
    const lane = openLane(test.store, 'over');
    await lane.admit('t1');
    const waiting = wait('over');
    await requestCancel(test.store, { userId: 'over', turnId: 't1' });
    expect(await waiting).toMatchObject({ state: 'cancelled', errorCode: 'CANCELLED' });
    expect(await wait('over', { timeoutMs: 0 })).toMatchObject({ state: 'cancelled' });
  });

  it('finds the end by polling where no notice came', async () => {
    const lane = openLane(test.store, 'polled');
    await lane.run('t1');
    await listener.close();
    const waiting = wait('polled');
    await lane.close('t1');
    expect(await waiting).toMatchObject({ state: 'failed' });
  });

  it('says RESULT_TIMEOUT, and names what is unknown', async () => {
    const lane = openLane(test.store, 'slow');
    await lane.run('t1');
    await expect(wait('slow', { timeoutMs: 50 })).rejects.toMatchObject({ code: 'RESULT_TIMEOUT' });
    await expect(wait('slow', { turnId: 'no' })).rejects.toMatchObject({ code: 'TURN_UNKNOWN' });
    await expect(wait('nobody')).rejects.toMatchObject({ code: 'USER_UNKNOWN' });
  });

  it('stops when aborted', async () => {
    await openLane(test.store, 'abort').run('t1');
    const controller = new AbortController();
    const waiting = wait('abort', { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });
});

describe('notices', () => {
  it('come for every transaction, with its last sequence and the turns that it ended', async () => {
    const lane = openLane(test.store, 'notices');
    const told: (EventNotice | undefined)[] = [];
    const unsubscribe = listener.subscribe('notices', (notice) => told.push(notice));
    const others = vi.fn();
    listener.subscribe('somebody else', others);
    const { turnKey } = await lane.run('t1');
    await lane.close('t1');
    await vi.waitFor(() => expect(told).toHaveLength(3));
    expect(told).toEqual([
      { userId: 'notices', seq: 1, ended: [] },
      { userId: 'notices', seq: 2, ended: [] },
      { userId: 'notices', seq: 3, ended: [turnKey] },
    ]);
    expect(others).not.toHaveBeenCalled();
    unsubscribe();
  });

  it('fit however many turns end at once', async () => {
    const lane = openLane(test.store, 'many');
    const admit = statement(
      'test_many_turns',
      `insert into turns (user_id, turn_id, position, body_hash, prompt)
       select $1, 'many-' || n, n + 1000, 'h', 'p' from generate_series(1, 1000) n`,
    );
    await lane.run('t1');
    await test.store.query(admit, ['many']);
    const told = vi.fn();
    listener.subscribe('many', told);
    await withTransaction(test.store, async (tx) =>
      failOpenTurns(tx, { user: await requireLane(tx, lane), code: 'INTERNAL' }),
    );
    await vi.waitFor(() => expect(told).toHaveBeenCalledWith(expect.objectContaining({ ended: null })));
    expect(await wait('many')).toMatchObject({ state: 'failed' });
  });

  it('may be anything: nothing in them is believed', async () => {
    const lane = openLane(test.store, 'forged');
    const turn = await lane.run('t1');
    const waiting = wait('forged');
    const send = statement('test_forge', `select pg_notify('innkeeper_events', $1)`);
    for (const payload of ['', 'no json', '[]', '{"userId":1}', 'null', '{"userId":"forged","seq":9,"ended":[1]}']) {
      await test.store.query(send, [payload]);
    }
    await lane.answer(turn, 0, []);
    expect(await waiting).toMatchObject({ state: 'completed' });
  });
});

describe('listTurns', () => {
  it('pages from the latest position back', async () => {
    const lane = openLane(test.store, 'pages');
    for (const id of ['t1', 't2', 't3']) await lane.admit(id);
    const page = await listTurns(test.store, { userId: 'pages', limit: 2 });
    expect(page.map((turn) => turn.turnId)).toEqual(['t3', 't2']);
    const rest = await listTurns(test.store, { userId: 'pages', limit: 2, before: page[1]?.position ?? 0 });
    expect(rest.map((turn) => turn.turnId)).toEqual(['t1']);
    expect(await listTurns(test.store, { userId: 'pages', limit: 2, before: 1 })).toEqual([]);
    await expect(listTurns(test.store, { userId: 'nobody', limit: 2 })).rejects.toMatchObject({ code: 'USER_UNKNOWN' });
  });
});
