/** A stack with a gateway in front of it, all of it watched: its metrics served, its spans sent. */
import { pickFreePorts } from '../../../src/dev/ports.js';
import { scrape, type Figures } from '../../support/figures.js';
import { openStage, type Stage, type StageOptions } from './stage.js';

export interface WatchedStage extends Stage {
  /** Asks the gateway, with a key of the scope operator. */
  ask(path: string, body?: unknown, method?: string, headers?: Readonly<Record<string, string>>): Promise<Response>;
  worker(): Promise<Figures>;
  gateway(): Promise<Figures>;
  temporal(): Promise<Figures>;
}

export async function openWatchedStage({ env, ...options }: StageOptions = {}): Promise<WatchedStage> {
  const [workerPort, temporalPort, gatewayPort] = (await pickFreePorts(3)).map(String) as [string, string, string];
  const watched = { WORKER_METRICS_PORT: workerPort, TEMPORAL_METRICS_ADDRESS: `127.0.0.1:${temporalPort}` };
  const stage = await openStage({ ...options, env: { ...env, ...watched } });
  const key = await stage.createKey('operator');
  const gateway = await stage.stack.startGateway({ ...env, GATEWAY_METRICS_PORT: gatewayPort });
  const at = (port: string): Promise<Figures> => scrape(`http://127.0.0.1:${port}/metrics`);
  return {
    ...stage,
    ask: (path, body, method = body === undefined ? 'GET' : 'POST', headers = {}) =>
      fetch(gateway.url + path, {
        method,
        headers: {
          ...headers,
          authorization: `Bearer ${key}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    worker: () => at(workerPort),
    gateway: () => at(gatewayPort),
    temporal: () => at(temporalPort),
  };
}
