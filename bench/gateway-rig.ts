/** A gateway in front of a rig, asked over real connections as a backend on the same host would. */
import { Agent, request } from 'node:http';
import { createApiKey } from '../src/store/api-keys.js';
import { createPool } from '../src/store/pool.js';
import type { RunningGateway } from '../test/support/stack.js';
import type { Rig } from './rig.js';

export interface RigGateway extends RunningGateway {
  readonly key: string;
  /** Submits a turn and answers the status, once the whole answer is here. */
  submit(userId: string, body: { readonly turnId: string; readonly prompt: string }): Promise<number>;
  get(path: string): Promise<unknown>;
  /** Opens an event stream, by POST where there is a body; resolves when it is open. `onText` gets what comes, as it comes. */
  open(path: string, onText: (text: string) => void, body?: object): Promise<OpenStream>;
}

export interface OpenStream {
  close(): void;
  /** Resolves at its end, whoever brings it. */
  readonly ended: Promise<void>;
}

const JSON_BODY = { 'content-type': 'application/json' };
const FOR_BENCHMARKS = { GATEWAY_KEY_REQUESTS_PER_MINUTE: '1000000', GATEWAY_USER_REQUESTS_PER_MINUTE: '1000000' };

/** Started on the rig's stack, and stopped with it. */
export async function startRigGateway(rig: Rig): Promise<RigGateway> {
  const store = createPool({ url: rig.databaseUrl, poolMax: 1, applicationName: 'innkeeper-bench' });
  const { key } = await createApiKey(store, { name: 'bench', scope: 'service' });
  await store.end();
  const gateway = await rig.stack.startGateway({ LOG_LEVEL: 'warn', ...FOR_BENCHMARKS });
  const agent = new Agent({ keepAlive: true });
  const headers = { authorization: `Bearer ${key}` };

  return {
    ...gateway,
    key,
    submit: (userId, body) =>
      new Promise((resolve, reject) => {
        const sent = request(
          `${gateway.url}/v1/users/${userId}/turns`,
          { method: 'POST', agent, headers: { ...headers, ...JSON_BODY } },
          (answer) => answer.resume().once('end', () => resolve(answer.statusCode ?? 0)),
        );
        sent.once('error', reject);
        sent.end(JSON.stringify(body));
      }),
    get: async (path) => (await fetch(`${gateway.url}${path}`, { headers })).json(),
    open: (path, onText, body) =>
      new Promise((resolve, reject) => {
        const how = body === undefined ? { headers } : { method: 'POST', headers: { ...headers, ...JSON_BODY } };
        const asked = request(`${gateway.url}${path}`, how, (answer) => {
          if (answer.statusCode !== 200) {
            asked.destroy();
            reject(new Error(`the stream was refused: ${answer.statusCode ?? 0}`));
            return;
          }
          answer
            .setEncoding('utf8')
            .on('data', onText)
            .on('error', () => undefined); // Closed by us.
          const ended = new Promise<void>((done) => answer.once('close', done));
          resolve({ close: () => void asked.destroy(), ended });
        });
        asked.once('error', reject);
        asked.end(body === undefined ? undefined : JSON.stringify(body));
      }),
  };
}
