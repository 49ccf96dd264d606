/** Settings -> options of a connection to Temporal. Loads nothing of the SDK: commands use it too. */
import { readFileSync } from 'node:fs';
import type { NativeConnectionOptions } from '@temporalio/worker';
import type { ClientOptions } from '../client.js';
import type { ClientConfig, TemporalConfig } from '../config.js';
import { InnkeeperError } from '../contracts/errors.js';

/** @throws InnkeeperError SETTINGS_INVALID */
export function toConnectionOptions({ address, apiKey, tls }: TemporalConfig): NativeConnectionOptions {
  return {
    address,
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(tls === undefined ? {} : { tls: toTls(tls) }),
  };
}

/** Settings -> options of the client library. @throws InnkeeperError SETTINGS_INVALID */
export function toClientOptions(config: ClientConfig): ClientOptions {
  const { address, namespace, taskQueue } = config.temporal;
  const { apiKey, tls } = toConnectionOptions(config.temporal);
  return {
    temporal: {
      ...{ address, namespace, taskQueue },
      ...(typeof apiKey === 'string' ? { apiKey } : {}),
      ...(tls === undefined || tls === null ? {} : { tls }),
    },
    database: config.database,
    ...(config.workflowIdKey === undefined ? {} : { workflowIdKey: config.workflowIdKey }),
    openTurnsMax: config.turn.openTurnsMax,
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
