/** The pool of connections, and transactions over it. The only file that opens connections for queries. */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { describeUrl, isConnectionBroken, isSerializationFailure, toStoreError, unavailable } from './errors.js';
import type { Queryable, Rows, Statement } from './sql.js';
import { appendsOf, createAppends, flushAppends, type CommittedTurns, type Tx } from './transaction.js';

export type { Queryable } from './sql.js';
export type { CommittedTurns, Tx } from './transaction.js';

/** A connection, new or from the full pool, is waited for this long. */
const CONNECT_MS_MAX = 5_000;
/** No statement of ours takes long; one that does waits for something that will not come. */
const STATEMENT_MS_MAX = 15_000;
/** Given up on our side where the server is gone without a word. */
const ANSWER_MS_MAX = 20_000;
const LOCK_WAIT_MS_MAX = 10_000;
/** A worker that is frozen inside a transaction loses it, and with it the user's row lock. */
const IDLE_IN_TRANSACTION_MS_MAX = 5_000;
const IDLE_CONNECTION_MS_MAX = 60_000;
/** Tries of a transaction that Postgres rolled back for the sake of others, and the longest wait before the next. */
const TRANSACTION_TRIES_MAX = 5;
const TRANSACTION_RETRY_MS_MAX = 40;

const INT8_OID = 20;

export interface PoolOptions {
  /** With password; never shown. */
  readonly url: string;
  readonly poolMax: number;
  /** Shown by Postgres beside each connection. */
  readonly applicationName: string;
  /** Commits do not wait for the disk: for what a crash of Postgres may take. Default false. */
  readonly mayLoseCommits?: boolean;
  /** Hears what became of turns by transactions of this pool, right after each commit. Must not throw. */
  readonly onCommit?: CommitListener;
}

export type CommitListener = (committed: CommittedTurns) => void;

export interface Store extends Queryable {
  /** For withTransaction. */
  connect(): Promise<pg.PoolClient>;
  readonly onCommit?: CommitListener;
  /** What a connection from `connect` throws, as codes. */
  toError(error: unknown): unknown;
  /** Waits for what is checked out, then closes every connection. */
  end(): Promise<void>;
}

/** Opens no connection yet. @throws InnkeeperError SETTINGS_INVALID */
export function createPool(options: PoolOptions): Store {
  const where = describeUrl(options.url);
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.poolMax,
    application_name: options.applicationName,
    connectionTimeoutMillis: CONNECT_MS_MAX,
    idleTimeoutMillis: IDLE_CONNECTION_MS_MAX,
    statement_timeout: STATEMENT_MS_MAX,
    query_timeout: ANSWER_MS_MAX,
    lock_timeout: LOCK_WAIT_MS_MAX,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS_MAX,
    keepAlive: true,
    // `begin` travels with the first statement, and `commit` with the last.
    pipeline: true,
    types: { getTypeParser },
  });
  pool.on('error', () => undefined); // An idle connection broke: the pool drops it, and the next query opens another.
  pool.on('connect', (client) => {
    client.on('error', () => undefined); // A connection broke between two queries: the next query on it says so.
    if (options.mayLoseCommits === true) client.query('set synchronous_commit = off').catch(() => undefined); // Broken: as above.
  });
  const toError = (error: unknown): unknown => toStoreError(error, where);

  async function connect(): Promise<pg.PoolClient> {
    try {
      return await pool.connect();
    } catch (error) {
      throw unavailable(error, where);
    }
  }
  return {
    connect,
    toError,
    ...(options.onCommit === undefined ? {} : { onCommit: options.onCommit }),
    end: () => pool.end(),
    async query<R extends object>(statement: Statement, values: readonly unknown[]): Promise<Rows<R>> {
      const client = await connect();
      let broken = true;
      try {
        const rows = await run<R>(client, statement, values);
        broken = false;
        return rows;
      } catch (error) {
        const known = toError(error);
        broken = isConnectionBroken(known);
        throw known;
      } finally {
        client.release(broken);
      }
    },
  };
}

/** Counters and positions are whole numbers below 2^53; turn keys are selected as text. */
const getTypeParser = ((oid: number, format?: 'text' | 'binary') =>
  oid === INT8_OID && format !== 'binary'
    ? Number
    : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser;

async function run<R extends object>(
  client: pg.PoolClient,
  { name, text }: Statement,
  values: readonly unknown[],
): Promise<Rows<R>> {
  const { rows, rowCount } = await client.query<R & pg.QueryResultRow>({ name, text, values: [...values] });
  return { rows, rowCount: rowCount ?? 0 };
}

/**
 * Runs `fn` in one transaction and commits it; what `fn` throws rolls it back. It may run more than once (deadlock), so it must
 * do nothing but query. Where the connection broke at the commit the caller cannot know: every write here may be repeated.
 * @throws InnkeeperError STORE_UNAVAILABLE, STORE_NOT_MIGRATED, and whatever `fn` throws
 */
export async function withTransaction<T>(store: Store, fn: (tx: Tx) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await transact(store, fn);
    } catch (error) {
      if (!isSerializationFailure(error) || tries >= TRANSACTION_TRIES_MAX) throw error;
      await delay(Math.random() * TRANSACTION_RETRY_MS_MAX);
    }
  }
}

async function transact<T>(store: Store, fn: (tx: Tx) => Promise<T>): Promise<T> {
  const client = await store.connect();
  const coded = <R>(answer: Promise<R>): Promise<R> =>
    answer.catch((error: unknown) => {
      throw store.toError(error);
    });
  const appends = createAppends();
  const tx: Tx = {
    query: (statement, values) => coded(run(client, statement, values)),
    appendsOf: (userId) => appendsOf(appends, userId),
  };
  let broken = false;
  try {
    const begun = coded(client.query('begin'));
    begun.catch(() => undefined); // Read below; a failure of `fn` comes first, and then its statement failed alike.
    const result = await fn(tx);
    await begun;
    const flushed = flushAppends(tx, appends);
    // Sent right behind: where an append fails, Postgres answers this commit with a rollback.
    const [flush, commit] = await Promise.allSettled([flushed, coded(client.query('commit'))]);
    if (flush.status === 'rejected') throw flush.reason;
    if (commit.status === 'rejected') throw commit.reason;
    if (commit.value.command !== 'COMMIT') throw new Error('Postgres rolled back a transaction that had no error');
    if (store.onCommit !== undefined) for (const committed of appends.values()) store.onCommit(committed);
    return result;
  } catch (error) {
    broken = !(await rollBack(client));
    throw error;
  } finally {
    client.release(broken);
  }
}

/** False where the connection cannot even do that: it is gone, the transaction with it, and must be thrown away. */
async function rollBack(client: pg.PoolClient): Promise<boolean> {
  return client.query('rollback').then(
    () => true,
    () => false,
  );
}
