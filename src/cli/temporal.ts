/** A connection to Temporal for the time of a command, with a failure that says what is wrong. */
import type { Connection } from '@temporalio/client';
import type { ClientConfig } from '../config.js';
import { InnkeeperError } from '../contracts/errors.js';
import { toConnectionOptions } from '../worker/connection-options.js';

/** What connecting, and one request, may take. */
export const CONNECT_MS_MAX = 5_000;

/** @throws InnkeeperError TEMPORAL_UNAVAILABLE, and what `work` throws */
export async function withTemporal<T>(config: ClientConfig, work: (connection: Connection) => Promise<T>): Promise<T> {
  const { Connection } = await import('@temporalio/client');
  let connection: Connection;
  try {
    connection = await Connection.connect({ ...toConnectionOptions(config.temporal), connectTimeout: CONNECT_MS_MAX });
  } catch (cause) {
    const { address } = config.temporal;
    throw new InnkeeperError('TEMPORAL_UNAVAILABLE', `Temporal does not answer at ${address}.`, { cause });
  }
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}
