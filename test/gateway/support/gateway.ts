/** What the gateway's tests share: a gateway on a real Postgres and Temporal, asked over real connections with keys of both scopes. */
import { createClient, type ClientOptions, type InnkeeperClient } from '../../../src/client.js';
import type { Gateway, GatewayParts } from '../../../src/gateway/parts.js';
import { createGateway } from '../../../src/gateway/server.js';
import { silentLogger } from '../../../src/log.js';
import { createApiKey } from '../../../src/store/api-keys.js';
import { openStore, type TestStore } from '../../store/support/lanes.js';
import { readStream, type Sent } from '../../support/event-stream.js';
import { testTemporal } from '../../support/servers.js';

export interface Asked {
  readonly method?: string;
  /** Default: of the scope service; null: none. */
  readonly key?: string | null;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

export interface TestGateway {
  readonly test: TestStore;
  readonly client: InnkeeperClient;
  readonly app: Gateway;
  readonly base: string;
  readonly keys: { readonly service: string; readonly operator: string };
  ask(path: string, asked?: Asked): Promise<Answer>;
  submit(user: string, body: unknown, more?: Asked): Promise<Answer>;
  /** Reads an event stream to its end. */
  read(path: string, headers?: { 'last-event-id'?: string }): { readonly seen: Sent[]; readonly ended: Promise<void> };
  close(): Promise<void>;
}

/** Generous but where a test would have to wait. */
export const TERMINALS: GatewayParts['terminals'] = {
  ...{ max: 10, openMs: 30_000, leaveMs: 8_000, graceMs: 2_000, quietMs: 60_000 },
  ...{ heartbeatMs: 15_000, stallMs: 30_000, unsentBytesMax: 256 * 1024 },
};

let count = 0;

export async function openGateway(
  parts: Partial<GatewayParts> = {},
  {
    on,
    ...own
  }: Pick<ClientOptions, 'workflowIdKey'> & {
    /** Where lanes run already; default: a database of its own, and nobody who works. */
    readonly on?: TestStore & { readonly taskQueue: string };
  } = {},
): Promise<TestGateway> {
  const [test, { address }] = await Promise.all([on ?? openStore(), testTemporal()]);
  const taskQueue = on?.taskQueue ?? `gateway-${process.pid}-${(count += 1)}`;
  const client = createClient({ temporal: { address, taskQueue }, database: { url: test.url }, ...own });
  const app = await createGateway({
    ...{ client, store: test.store, prices: { vcpuHour: 1, gibMonth: undefined }, tokens: undefined },
    ...{ defaults: { idleMs: 60_000 }, laneUrlOf: (workflowId: string) => `http://ui/${workflowId}` },
    ...{ rates: { keyPerMinute: 100_000, userPerMinute: 100_000 }, origins: [], log: silentLogger() },
    holds: { answerMs: 30_000, cancelMs: 30_000 },
    closeMs: 200,
    terminals: TERMINALS,
    streams: { max: 100, ofUserMax: 32, heartbeatMs: 15_000, stallMs: 30_000 },
    readiness: () => Promise.resolve({ postgres: true }),
    ...parts,
  });
  const base = await app.listen({ host: '127.0.0.1', port: 0 });
  const [service = '', operator = ''] = await Promise.all(
    (['service', 'operator'] as const).map(
      async (scope) => (await createApiKey(test.store, { name: scope, scope })).key,
    ),
  );

  async function ask(path: string, { method = 'GET', key = service, body, headers = {} }: Asked = {}): Promise<Answer> {
    const answer = await fetch(`${base}${path}`, {
      method,
      headers: {
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    const isJson = /json/.test(answer.headers.get('content-type') ?? '');
    const json = isJson ? (JSON.parse(text) as Record<string, unknown>) : {};
    return { status: answer.status, headers: answer.headers, text, json };
  }

  function read(path: string, headers: { 'last-event-id'?: string } = {}): { seen: Sent[]; ended: Promise<void> } {
    const seen: Sent[] = [];
    const lastId = headers['last-event-id'];
    const ended = readStream(`${base}${path}`, { key: service, lastId, onEvent: (sent) => seen.push(sent) });
    return { seen, ended };
  }

  return {
    ...{ test, client, app, base, keys: { service, operator }, ask, read },
    submit: (user, body, more = {}) => ask(`/v1/users/${user}/turns`, { method: 'POST', body, ...more }),
    close: async () => {
      await app.close();
      await client.close();
      await test.close();
    },
  };
}
