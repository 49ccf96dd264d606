/**
 * Goal: what metrics hear of turns is what was committed, each once; and what they count is what there is. Method: a lane that is
 * played by hand on real Postgres, heard by a listener of the pool; transactions that are rolled back.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { beginCall } from '../../src/store/calls.js';
import { countOpen } from '../../src/store/counts.js';
import { takeLease } from '../../src/store/leases.js';
import { createPool, withTransaction, type CommittedTurns, type Store } from '../../src/store/pool.js';
import { settleCall } from '../../src/store/settle.js';
import { noteTurnEnd } from '../../src/store/turns.js';
import { bash, makeReady, openLane, openStore, type TestStore } from './support/lanes.js';

let test: TestStore;
let store: Store;
const heard: CommittedTurns[] = [];
beforeAll(async () => {
  test = await openStore();
  store = createPool({
    ...{ url: test.url, poolMax: 4, applicationName: 'test-committed' },
    onCommit: (committed) => heard.push(committed),
  });
});
afterAll(async () => {
  await store.end();
  await test.close();
});

/** Everything that was heard since the last time. */
function take(): { started: number; settled: unknown[]; ended: unknown[] } {
  const all = heard.splice(0);
  return {
    started: all.flatMap(({ startedTurns }) => startedTurns).length,
    settled: all.flatMap(({ settledCalls }) => settledCalls),
    ended: all.flatMap(({ endedTurns }) => endedTurns.map(({ outcome, code, hasRun }) => ({ outcome, code, hasRun }))),
  };
}

it('a start tells how long the turn waited, by the clock of Postgres', async () => {
  const lane = openLane(store, 'waiting');
  const { turnKey } = await lane.run('t1');
  const [started] = heard.flatMap(({ startedTurns }) => startedTurns);
  const [row] = (
    await test.store.query<{ waited: number }>(
      {
        name: 'waited_of_turn',
        text: `select (extract(epoch from started_at - created_at) * 1000)::double precision as waited
               from turns where turn_key = $1::bigint`,
      },
      [turnKey],
    )
  ).rows;
  expect(started?.turnKey).toBe(turnKey);
  expect(started?.waitedMs).toBeCloseTo(row?.waited ?? -1, 3);
  expect(take()).toEqual({ started: 1, settled: [], ended: [] });
});

it('a command is told with its first outcome and its reason, and not again', async () => {
  const lane = openLane(store, 'settling');
  const turn = await lane.run('t1');
  const { turnKey } = turn;
  const refused = { ...bash('odd'), invalid: { reason: 'invalid_call', shown: 'no' } };
  await lane.answer(turn, 0, [bash('make'), refused]);
  expect(take()).toEqual({ started: 1, settled: [{ outcome: 'invalid', reason: 'invalid_call' }], ended: [] });
  const { generation } = await makeReady(store, lane);
  const key = { turnKey, step: 0, index: 0 };
  await beginCall(store, { ...lane, ...key, boot: { generation, bootId: 'boot-1' } });
  const outcome = { outcome: 'unknown', reason: 'boot_changed', result: {}, shown: 'who knows' } as const;
  for (const times of [1, 2]) await settleCall(store, { ...lane, ...key, try: times === 1 ? 1 : null, ...outcome });
  expect(take()).toEqual({ started: 0, settled: [{ outcome: 'unknown', reason: 'boot_changed' }], ended: [] });
});

it('an end is told once, with its code where it failed', async () => {
  const lane = openLane(store, 'ending');
  const turn = await lane.run('t1');
  await lane.answer(turn, 0, []);
  expect(take().ended).toEqual([{ outcome: 'completed', code: null, hasRun: true }]);
  await lane.run('t2');
  expect([await lane.close('t2'), await lane.close('t2')]).toEqual([true, false]);
  expect(take().ended).toEqual([{ outcome: 'failed', code: 'INTERNAL', hasRun: true }]);
});

it('what is rolled back is not told', async () => {
  const lane = openLane(store, 'rolled-back');
  const { turnKey } = await lane.run('t1');
  take();
  const rolledBack = withTransaction(store, (tx) => {
    noteTurnEnd(tx, { userId: 'rolled-back', turnKey, outcome: 'completed', code: null, hasRun: true });
    return Promise.reject(new Error('no'));
  });
  await expect(rolledBack).rejects.toThrow('no');
  // The commit itself fails: there is no such user to append to.
  const refused = withTransaction(store, (tx) => {
    noteTurnEnd(tx, { userId: 'nobody', turnKey, outcome: 'completed', code: null, hasRun: true });
    return Promise.resolve();
  });
  await expect(refused).rejects.toBeDefined();
  expect(take()).toEqual({ started: 0, settled: [], ended: [] });
});

it('counts live machines by phase, open turns by state and live leases by kind', async () => {
  const before = await countOpen(test.store);
  const lane = openLane(test.store, 'counted');
  await makeReadyOf(lane);
  await lane.run('t1');
  await lane.admit('t2');
  const lease = { userId: 'counted', kind: 'files', holder: 'key test' } as const;
  await takeLease(test.store, { ...lease, leaseMs: 60_000 });
  await takeLease(test.store, { ...lease, leaseMs: 0 }); // Dead, and nobody has met it.
  const after = await countOpen(test.store);
  const grown = (of: 'machines' | 'turns' | 'leases', key: string): number =>
    ((after[of] as ReadonlyMap<string, number>).get(key) ?? 0) -
    ((before[of] as ReadonlyMap<string, number>).get(key) ?? 0);
  expect([grown('machines', 'ready'), grown('turns', 'running'), grown('turns', 'queued')]).toEqual([1, 1, 1]);
  expect(grown('leases', 'files')).toBe(1);
});

/** The lane's user comes with a first turn, which is over. */
async function makeReadyOf(lane: ReturnType<typeof openLane>): Promise<void> {
  await lane.answer(await lane.run('t0'), 0, []);
  await makeReady(test.store, lane);
}
