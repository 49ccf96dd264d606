/** Goal: Postgres may go away and come back at any time. Method: a Postgres of this file's own is stopped, killed and started. */
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { InnkeeperError } from '../../src/contracts/errors.js';
import { migrate } from '../../src/store/migrate.js';
import { createPool, withTransaction, type Store } from '../../src/store/pool.js';
import { statement } from '../../src/store/sql.js';
import { createTurnListener, type TurnListener } from '../../src/store/turn-listener.js';
import { getUser, lockUser } from '../../src/store/users.js';
import { openLane } from './support/lanes.js';
import { startOwnPostgres, type OwnPostgres } from './support/own-postgres.js';

const silent = { info: () => undefined, warn: () => undefined };
const UNAVAILABLE = expect.objectContaining({ code: 'STORE_UNAVAILABLE' }) as unknown;
let postgres: OwnPostgres;
let store: Store;
let listener: TurnListener;

beforeAll(async () => {
  postgres = await startOwnPostgres();
  await migrate({ url: postgres.url, log: silent });
  store = createPool({ url: postgres.url, poolMax: 4, applicationName: 'outage' });
  listener = createTurnListener({ url: postgres.url, store });
});
afterAll(async () => {
  await listener.close();
  await store.end();
  await postgres.remove();
});

async function untilListening(): Promise<void> {
  const listening = statement(
    'test_listening',
    `select pid from pg_stat_activity where application_name = 'innkeeper-listener'`,
  );
  await vi.waitFor(async () => expect((await store.query(listening, [])).rowCount).toBe(1), {
    timeout: 20_000,
    interval: 20,
  });
}

describe('while Postgres is away', () => {
  beforeEach(untilListening);

  it.each(['stop', 'kill'] as const)(
    '%s: says STORE_UNAVAILABLE, then pool and listener go on by themselves',
    async (how) => {
      const userId = `user-${how}`;
      const lane = openLane(store, userId);
      await lane.run('t1');
      const told: unknown[] = [];
      const unsubscribe = listener.subscribe(userId, (notice) => told.push(notice));
      const ended = listener.waitForEnd({ userId, turnId: 't1', timeoutMs: 60_000 });

      await postgres[how]();
      const errors = await Promise.all(
        [getUser(store, userId), lane.admit('t2'), getUser(store, userId)].map((work) =>
          work.catch((error: unknown) => error),
        ),
      );
      expect(errors).toEqual([UNAVAILABLE, UNAVAILABLE, UNAVAILABLE]);
      const password = new URL(postgres.url).password;
      for (const error of errors) {
        expect((error as InnkeeperError).message).not.toContain(password);
        expect((error as InnkeeperError).cause).toBeInstanceOf(Error);
      }

      await postgres.start();
      expect(await getUser(store, userId)).toMatchObject({ queueLength: 1 });
      await untilListening();
      await vi.waitFor(() => expect(told).toContain(undefined), { timeout: 10_000 });
      await lane.close('t1');
      expect(await ended).toMatchObject({ state: 'failed' });
      await vi.waitFor(() =>
        expect(told).toContainEqual(expect.objectContaining({ userId, ended: [expect.any(String)] })),
      );
      unsubscribe();
    },
  );

  it('fails a transaction whose connection is ended in the middle, and gives its connection back', async () => {
    await openLane(store, 'middle').admit('t1');
    const endSelf = statement('test_end_self', 'select pg_terminate_backend(pg_backend_pid())');
    for (let round = 0; round < 6; round += 1) {
      const broken = withTransaction(store, async (tx) => {
        await lockUser(tx, 'middle');
        await tx.query(endSelf, []);
      });
      await expect(broken).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    }
    expect(await getUser(store, 'middle')).toMatchObject({ queueLength: 1 });
  });

  it('survives the end of idle connections', async () => {
    await openLane(store, 'idle').admit('t1');
    const client = new pg.Client({ connectionString: postgres.url });
    await client.connect();
    await client.query('select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()');
    await client.end();
    await vi.waitFor(async () => expect(await getUser(store, 'idle')).toMatchObject({ userId: 'idle' }));
  });
});

describe('what cannot work', () => {
  const query = statement('test_one', 'select 1 as one');
  const broken = (url: string) => createPool({ url, poolMax: 1, applicationName: 'broken' });

  it.each([
    ['a wrong password', (url: URL) => (url.password = 'wrong-secret')],
    ['an unknown database', (url: URL) => (url.pathname = '/nothing')],
    ['a port where nobody listens', (url: URL) => (url.port = '1')],
  ])('%s is STORE_UNAVAILABLE, the password left out', async (_name, change) => {
    const url = new URL(postgres.url);
    change(url);
    const pool = broken(url.href);
    const error = await pool.query(query, []).catch((caught: unknown) => caught);
    expect(error).toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.stringContaining(url.hostname) as string,
    });
    expect((error as InnkeeperError).message).not.toContain(url.password);
    await pool.end();
  });

  it('a URL that is none is SETTINGS_INVALID, and is not shown', () => {
    expect(() => broken('postgres//user:secret')).toThrow(
      expect.objectContaining({
        code: 'SETTINGS_INVALID',
        message: expect.not.stringContaining('secret') as string,
      }) as Error,
    );
  });

  it('a full pool is STORE_UNAVAILABLE after a while', async () => {
    const pool = createPool({ url: postgres.url, poolMax: 1, applicationName: 'full' });
    const held = await pool.connect();
    await expect(pool.query(query, [])).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    held.release();
    expect((await pool.query(query, [])).rows).toEqual([{ one: 1 }]);
    await pool.end();
  });

  it('a frozen holder of a row lock loses it', async () => {
    await openLane(store, 'frozen').admit('t1');
    const frozen = await store.connect();
    frozen.on('error', () => undefined);
    await frozen.query('begin');
    await frozen.query(`select 1 from users where user_id = 'frozen' for update`);
    expect(await openLane(store, 'frozen').admit('t2')).toMatchObject({ position: 2 });
    await expect(frozen.query('commit')).rejects.toThrow();
    frozen.release(true);
  });
});
