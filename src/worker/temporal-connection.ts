/** Settings -> connection to Temporal, with a failure that says what to do. */
import { readFileSync } from 'node:fs';
import { Client } from '@temporalio/client';
import { NativeConnection, type NativeConnectionOptions } from '@temporalio/worker';
import type { TemporalConfig } from '../config.js';
import { InnkeeperError } from '../contracts/errors.js';

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
  return new Client({ connection, namespace });
}

/** @throws InnkeeperError SETTINGS_INVALID */
export function toConnectionOptions({ address, apiKey, tls }: TemporalConfig): NativeConnectionOptions {
  return {
    address,
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(tls === undefined ? {} : { tls: toTls(tls) }),
  };
}

function toTls(files: NonNullable<TemporalConfig['tls']>): NonNullable<NativeConnectionOptions['tls']> {
  const { caFile, certFile, keyFile } = files;
  return {
    ...(caFile === undefined ? {} : { serverRootCACertificate: read('TEMPORAL_TLS_CA_FILE', caFile) }),
    ...(certFile === undefined || keyFile === undefined
      ? {}
      : {
          clientCertPair: {
            crt: read('TEMPORAL_TLS_CERT_FILE', certFile),
            key: read('TEMPORAL_TLS_KEY_FILE', keyFile),
          },
        }),
  };
}

function read(setting: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InnkeeperError('SETTINGS_INVALID', `${setting} cannot be read: ${reason}`);
  }
}
