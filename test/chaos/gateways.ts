/** Two replicas of the gateway, on ports that stay: killed one at a time, and asked over HTTP as a backend does. */
import { InnkeeperError, type ErrorCode } from '../../src/contracts/errors.js';
import { pickFreePorts } from '../../src/dev/ports.js';
import { createApiKey } from '../../src/store/api-keys.js';
import { createPool } from '../../src/store/pool.js';
import type { RunningGateway, Stack } from '../support/stack.js';

const REPLICAS = 2;
const ENV = { GATEWAY_KEY_REQUESTS_PER_MINUTE: '1000000', GATEWAY_USER_REQUESTS_PER_MINUTE: '1000000' };

export interface Gateways {
  readonly urls: readonly string[];
  readonly key: string;
  /** Kills one with -9 and starts it again; the next time another. Answers its address. */
  restartNext(): Promise<string>;
  /** Asks one replica after the other. @throws InnkeeperError with the answer's code; STORE_UNAVAILABLE where nobody answered */
  post(path: string, body?: object): Promise<Record<string, unknown>>;
}

export async function startGateways(of: {
  readonly stack: Stack;
  /** Past the proxies, for the key. */
  readonly databaseUrl: string;
  readonly env: Readonly<Record<string, string>>;
}): Promise<Gateways> {
  const store = createPool({ url: of.databaseUrl, poolMax: 1, applicationName: 'innkeeper-chaos' });
  const { key } = await createApiKey(store, { name: 'chaos', scope: 'service' });
  await store.end();
  const ports = await pickFreePorts(REPLICAS);
  const start = (port: number): Promise<RunningGateway> =>
    of.stack.startGateway({ ...ENV, ...of.env, GATEWAY_PORT: String(port) });
  const replicas = await Promise.all(ports.map(start));
  const urls = replicas.map(({ url }) => url);
  let restarts = 0;
  let asked = 0;

  return {
    urls,
    key,
    async restartNext() {
      const index = restarts % REPLICAS;
      restarts += 1;
      const replica = replicas[index];
      replica?.process.signal('SIGKILL');
      await replica?.process.exited;
      replicas[index] = await start(ports[index] ?? 0);
      return urls[index] ?? '';
    },
    async post(path, body) {
      const url = urls[(asked += 1) % REPLICAS] ?? '';
      const headers = {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      };
      try {
        const answer = await fetch(url + path, {
          method: 'POST',
          headers,
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        const json = (await answer.json()) as Record<string, unknown>;
        if (answer.ok) return json;
        throw new InnkeeperError(json['code'] as ErrorCode, String(json['detail']));
      } catch (error) {
        if (InnkeeperError.is(error)) throw error;
        throw new InnkeeperError('STORE_UNAVAILABLE', 'No gateway answered.', { cause: error });
      }
    },
  };
}
