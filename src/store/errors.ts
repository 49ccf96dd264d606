/** Postgres's and the driver's failures as codes of ours. Reads SQLSTATE and error classes, never message text. */
import pg from 'pg';
import { InnkeeperError } from '../contracts/errors.js';

/** Classes of SQLSTATE that mean: Postgres cannot serve now, or does not let us in. */
const UNAVAILABLE_CLASSES = new Set([
  '08', // connection exceptions
  '28', // wrong user or password
  '53', // out of connections, disk or memory
  '57', // shut down, starting up, statement timeout
  '58', // system error
]);
const UNAVAILABLE_STATES = new Set([
  '3D000', // no such database
  '25P03', // we were idle in a transaction for too long: this process was frozen
  '25P04', // a transaction took too long
  '25006', // read only: a standby, just before or after a failover
  '55P03', // a lock was not to be had in time
]);
const NOT_MIGRATED_STATES = new Set([
  '42P01', // no such table
  '3F000', // no such schema
  '42703', // no such column: an older schema
]);
const RETRY_STATES = new Set(['40001', '40P01']);

/** SQLSTATE of an error of Postgres's, also where one of ours wraps it. */
function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/** True where the transaction was rolled back for others' sake and may simply run again. */
export function isSerializationFailure(error: unknown): boolean {
  return RETRY_STATES.has(sqlState(error) ?? '');
}

/** Anything but an answer of Postgres to a statement: the connection is not to be trusted any more. */
export function isConnectionBroken(error: unknown): boolean {
  const state = sqlState(error);
  return state === undefined
    ? !InnkeeperError.is(error) || error.code === 'STORE_UNAVAILABLE'
    : state.startsWith('57P');
}

/** `where` names the server without its password. */
export function toStoreError(error: unknown, where: string): unknown {
  if (InnkeeperError.is(error)) return error;
  const state = sqlState(error);
  if (state === undefined) {
    // The driver refuses a value of ours before it sends anything: our defect, not the server's.
    if (!(error instanceof Error) || error instanceof TypeError || error instanceof RangeError) return error;
    return unavailable(error, where);
  }
  if (NOT_MIGRATED_STATES.has(state)) {
    return new InnkeeperError(
      'STORE_NOT_MIGRATED',
      `The database at ${where} lacks a table or column of this release.`,
      {
        cause: error,
      },
    );
  }
  if (UNAVAILABLE_CLASSES.has(state.slice(0, 2)) || UNAVAILABLE_STATES.has(state)) return unavailable(error, where);
  return error;
}

/** Whatever goes wrong while a connection is made, Postgres is not there for us. */
export function unavailable(error: unknown, where: string): InnkeeperError {
  const reason = error instanceof Error ? firstMessage(error) : String(error);
  return new InnkeeperError('STORE_UNAVAILABLE', `Postgres at ${where} cannot be used: ${reason}`, { cause: error });
}

/** A host with several addresses fails with one error each and no message of its own. */
function firstMessage(error: Error): string {
  if (error.message !== '' || !(error instanceof AggregateError)) return error.message;
  const first: unknown = error.errors[0];
  return first instanceof Error ? first.message : error.name;
}

/** Host, port and database of a URL, for messages. @throws InnkeeperError SETTINGS_INVALID, without showing the URL */
export function describeUrl(url: string): string {
  if (!URL.canParse(url)) throw new InnkeeperError('SETTINGS_INVALID', 'The database URL is not a URL.');
  const { host, pathname } = new URL(url);
  return `${host}${pathname}`;
}
