/** Settings -> connection options of the SDK. */
import { readFileSync } from 'node:fs';
import type { NativeConnectionOptions } from '@temporalio/worker';
import type { TemporalConfig } from '../config.js';

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
    ...(caFile === undefined ? {} : { serverRootCACertificate: readFileSync(caFile) }),
    ...(certFile === undefined || keyFile === undefined
      ? {}
      : { clientCertPair: { crt: readFileSync(certFile), key: readFileSync(keyFile) } }),
  };
}
