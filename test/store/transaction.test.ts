/** Goal: a transaction commits whole, with what it appends, or leaves nothing. Method: failures at each point, a real deadlock. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { appendEvent, readEvents } from '../../src/store/events.js';
import { withTransaction, type Tx } from '../../src/store/pool.js';
import { statement } from '../../src/store/sql.js';
import { getUser, lockUser, setIdle } from '../../src/store/users.js';
import { openLane, openStore, type TestStore } from './support/lanes.js';

let test: TestStore;
beforeAll(async () => {
  test = await openStore();
});
afterAll(() => test.close());

const body = { type: 'turn.queued', position: 7 } as const;
const append = (tx: Tx, userId: string) => appendEvent(tx, { userId, turnKey: null, body });
const seqs = async (userId: string) =>
  (await readEvents(test.store, { userId, after: 0, limit: 100 })).map((event) => event.seq);

describe('withTransaction', () => {
  it('leaves nothing of a function that throws, and throws the same', async () => {
    await openLane(test.store, 'thrown').admit('t1');
    const bug = new Error('a defect of ours');
    const failed = withTransaction(test.store, async (tx) => {
      await setIdle(tx, { userId: 'thrown', idleMs: 5 });
      append(tx, 'thrown');
      throw bug;
    });
    await expect(failed).rejects.toBe(bug);
    expect(await getUser(test.store, 'thrown')).toMatchObject({ idleMs: null });
    expect(await seqs('thrown')).toEqual([1]);
  });

  it('leaves nothing where its appends cannot be written', async () => {
    await openLane(test.store, 'appends').admit('t1');
    const failed = withTransaction(test.store, async (tx) => {
      await setIdle(tx, { userId: 'appends', idleMs: 5 });
      append(tx, 'appends');
      append(tx, 'nobody');
    });
    await expect(failed).rejects.toMatchObject({ code: '23502' });
    expect(await getUser(test.store, 'appends')).toMatchObject({ idleMs: null });
    expect(await seqs('appends')).toEqual([1]);
  });

  it('passes on what Postgres says of a defect, and the connection stays usable', async () => {
    const wrong = statement('test_wrong', 'select 1 / $1::integer');
    for (let round = 0; round < 12; round += 1) {
      await expect(withTransaction(test.store, (tx) => tx.query(wrong, [0]))).rejects.toMatchObject({ code: '22012' });
      await expect(test.store.query(wrong, [0])).rejects.toMatchObject({ code: '22012' });
    }
    expect((await test.store.query(wrong, [1])).rowCount).toBe(1);
  });

  it('runs again where Postgres ended it for the sake of another', async () => {
    for (const userId of ['left', 'right']) await openLane(test.store, userId).admit('t1');
    let arrived = 0;
    let runs = 0;
    let meet = (): void => undefined;
    const met = new Promise<void>((resolve) => (meet = resolve));
    const cross = (first: string, second: string) =>
      withTransaction(test.store, async (tx) => {
        runs += 1;
        await lockUser(tx, first);
        append(tx, first);
        if ((arrived += 1) >= 2) meet();
        await met;
        await lockUser(tx, second);
        append(tx, second);
      });
    await Promise.all([cross('left', 'right'), cross('right', 'left')]);
    expect(runs).toBeGreaterThan(2);
    expect(await seqs('left')).toEqual([1, 2, 3]);
    expect(await seqs('right')).toEqual([1, 2, 3]);
  });
});
