/** Brings a database to the schema of this release: SQL files of `migrations/`, forward only, and the grants of the limited role. */
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import pg from 'pg';
import { InnkeeperError } from '../contracts/errors.js';
import { grantClientRole } from './client-role.js';
import { describeUrl, toStoreError, unavailable } from './errors.js';
import { statement, type Queryable } from './sql.js';

/** The same from `src/store` and from `dist/store`. */
const MIGRATIONS_DIR = fileURLToPath(new URL('../../migrations', import.meta.url));
const MIGRATIONS_TABLE = 'schema_migrations';
const CONNECT_MS_MAX = 5_000;

/** What is told while migrating; pino's logger is one. */
export interface MigrateLog {
  info(message: string): void;
  warn(message: string): void;
}

/**
 * Applies what is missing, all or nothing, and answers the names. Several processes may run it at once: they take turns by an
 * advisory lock, and the later ones find nothing to do.
 * @throws InnkeeperError STORE_UNAVAILABLE, SETTINGS_INVALID; Postgres's own error where the user may not change the schema
 */
export async function migrate(options: {
  readonly url: string;
  readonly log: MigrateLog;
}): Promise<{ applied: string[] }> {
  const { url, log } = options;
  const where = describeUrl(url);
  const client = new pg.Client({
    connectionString: url,
    application_name: 'innkeeper-migrate',
    connectionTimeoutMillis: CONNECT_MS_MAX,
    keepAlive: true,
  });
  let isBroken = false;
  client.on('error', () => (isBroken = true)); // The statement under way fails and says it.
  try {
    await client.connect();
  } catch (error) {
    throw unavailable(error, where);
  }
  try {
    const ran = await runner({
      dbClient: client,
      dir: MIGRATIONS_DIR,
      direction: 'up',
      migrationsTable: MIGRATIONS_TABLE,
      singleTransaction: true,
      advisoryLockMode: 'wait',
      logger: toRunnerLog(log),
    });
    await grantClientRole(client, log);
    const applied = ran.map((migration) => migration.name);
    for (const name of applied) log.info(`applied migration ${name}`);
    return { applied };
  } catch (error) {
    // The library reports defects of files and of order as plain errors too: only a broken connection is Postgres being away.
    throw isBroken || error instanceof pg.DatabaseError ? toStoreError(error, where) : error;
  } finally {
    await client.end().catch(() => undefined); // Broken already: what was not committed is rolled back.
  }
}

/** The library's own lines say each thing twice; only its warnings are worth passing on. */
function toRunnerLog(log: MigrateLog): Record<'debug' | 'info' | 'warn' | 'error', (message: string) => void> {
  const silent = (): void => undefined;
  return { debug: silent, info: silent, warn: (message) => log.warn(message), error: (message) => log.warn(message) };
}

const selectApplied = statement('select_applied_migrations', `select name from ${MIGRATIONS_TABLE}`);

/** True when the database has every migration of this release. @throws InnkeeperError STORE_UNAVAILABLE */
export async function isMigrated(store: Queryable): Promise<boolean> {
  const files = await readdir(MIGRATIONS_DIR);
  const known = files.filter((file) => file.endsWith('.sql')).map((file) => file.slice(0, -'.sql'.length));
  try {
    const { rows } = await store.query<{ name: string }>(selectApplied, []);
    const applied = new Set(rows.map((row) => row.name));
    return known.every((name) => applied.has(name));
  } catch (error) {
    if (InnkeeperError.is(error) && error.code === 'STORE_NOT_MIGRATED') return false;
    throw error;
  }
}
