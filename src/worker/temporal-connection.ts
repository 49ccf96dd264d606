/** Settings -> connection to Temporal, with a failure that says what to do. */
import { Client } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { traceSignals } from '../client/trace-signals.js';
import type { TemporalConfig } from '../config.js';
import { InnkeeperError } from '../contracts/errors.js';
import { toConnectionOptions } from './connection-options.js';

/** @throws InnkeeperError TEMPORAL_UNAVAILABLE, SETTINGS_INVALID (a file of a certificate) */
export async function connectToTemporal(settings: TemporalConfig): Promise<NativeConnection> {
  const options = toConnectionOptions(settings);
  try {
    return await NativeConnection.connect(options);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InnkeeperError('TEMPORAL_UNAVAILABLE', `Temporal at ${settings.address} cannot be used: ${reason}`, {
      cause: error,
    });
  }
}

/** A client over the worker's own connection, for what the worker asks of the server and of lanes. */
export function toClient(connection: NativeConnection, namespace: string): Client {
  return new Client({ connection, namespace, interceptors: { workflow: [traceSignals] } });
}
