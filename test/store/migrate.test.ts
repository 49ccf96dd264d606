/** Goal: any process may migrate at any time. Method: empty databases, several migrations at once, a user without rights. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readEvents } from '../../src/store/events.js';
import { isMigrated, migrate } from '../../src/store/migrate.js';
import { createPool, type Store } from '../../src/store/pool.js';
import { getUser } from '../../src/store/users.js';
import { createEmptyTestDatabase, type TestDatabase } from '../support/servers.js';
import { openLane } from './support/lanes.js';
import { startOwnPostgres, type OwnPostgres } from './support/own-postgres.js';

const silent = { info: () => undefined, warn: () => undefined };

describe('migrate', () => {
  let database: TestDatabase;
  let store: Store;
  beforeAll(async () => {
    database = await createEmptyTestDatabase();
    store = createPool({ url: database.url, poolMax: 2, applicationName: 'test' });
  });
  afterAll(async () => {
    await store.end();
    await database.drop();
  });

  it('says STORE_NOT_MIGRATED of an empty database', async () => {
    expect(await isMigrated(store)).toBe(false);
    await expect(getUser(store, 'u')).rejects.toMatchObject({ code: 'STORE_NOT_MIGRATED' });
    await expect(openLane(store, 'u').admit('t1')).rejects.toMatchObject({ code: 'STORE_NOT_MIGRATED' });
    await expect(readEvents(store, { userId: 'u', after: 0, limit: 1 })).rejects.toMatchObject({
      code: 'STORE_NOT_MIGRATED',
    });
  });

  it('applies each migration once, however many processes run it at once', async () => {
    const log = { info: vi.fn(), warn: vi.fn() };
    const all = await Promise.all(Array.from({ length: 4 }, () => migrate({ url: database.url, log })));
    const applied = all.flatMap((one) => one.applied);
    expect(applied).toContain('0001_core');
    expect(new Set(applied).size).toBe(applied.length);
    expect(log.info).toHaveBeenCalledWith('applied migration 0001_core');
    expect(log.warn).not.toHaveBeenCalled();
    expect(await isMigrated(store)).toBe(true);
    expect(await openLane(store, 'u').admit('t1')).toMatchObject({ position: 1 });
    expect(await migrate({ url: database.url, log: silent })).toEqual({ applied: [] });
  });

  it('says STORE_UNAVAILABLE where nobody answers', async () => {
    await expect(migrate({ url: 'postgres://u:secret@127.0.0.1:1/x', log: silent })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      message: expect.not.stringContaining('secret') as string,
    });
  });
});

describe('migrate as a user that may not create roles', () => {
  let postgres: OwnPostgres;
  beforeAll(async () => {
    postgres = await startOwnPostgres();
  });
  afterAll(() => postgres.remove());

  it('applies everything and says what is missing; once the role is there it gets its rights', async () => {
    const admin = new pg.Client({ connectionString: postgres.url });
    await admin.connect();
    await admin.query(`create role plain login password 'plain'`);
    await admin.query('create database plain owner plain');
    const url = new URL(postgres.url);
    url.username = 'plain';
    url.password = 'plain';
    url.pathname = '/plain';

    const warn = vi.fn<(message: string) => void>();
    expect((await migrate({ url: url.href, log: { ...silent, warn } })).applied).toContain('0001_core');
    expect(warn.mock.calls.map(([message]) => message)).toEqual([
      expect.stringContaining('create role innkeeper_client nologin'),
    ]);
    await admin.query('create role innkeeper_client nologin');
    warn.mockClear();
    await migrate({ url: url.href, log: { ...silent, warn } });
    expect(warn).not.toHaveBeenCalled();
    await admin.query('grant innkeeper_client to plain');
    await admin.end();

    url.searchParams.set('options', '-c role=innkeeper_client');
    const store = createPool({ url: url.href, poolMax: 1, applicationName: 'test' });
    expect(await openLane(store, 'u').admit('t1')).toMatchObject({ position: 1 });
    await store.end();
  });
});
