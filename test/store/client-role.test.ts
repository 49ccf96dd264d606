/** Goal: a backend with the limited role can admit and read, and nothing else. Method: every call, under `role=innkeeper_client`. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { admitTurn, requestCancel } from '../../src/store/admission.js';
import { listFindings } from '../../src/store/findings.js';
import { readEvents } from '../../src/store/events.js';
import { isMigrated, migrate } from '../../src/store/migrate.js';
import { createPool, type Store } from '../../src/store/pool.js';
import { statement } from '../../src/store/sql.js';
import { createTurnListener } from '../../src/store/turn-listener.js';
import { getTurn, listTurns } from '../../src/store/turns.js';
import { usage } from '../../src/store/usage.js';
import {
  createUser,
  findUserByWorkflowId,
  getUser,
  listUsers,
  requestDestroy,
  setIdle,
} from '../../src/store/users.js';
import { createEmptyTestDatabase, type TestDatabase } from '../support/servers.js';
import { bash, makeReady, openLane } from './support/lanes.js';

let database: TestDatabase;
let owner: Store;
let client: Store;
let clientUrl: string;
beforeAll(async () => {
  database = await createEmptyTestDatabase();
  await migrate({ url: database.url, log: { info: () => undefined, warn: () => undefined } });
  const url = new URL(database.url);
  url.searchParams.set('options', '-c role=innkeeper_client');
  clientUrl = url.href;
  owner = createPool({ url: database.url, poolMax: 2, applicationName: 'owner' });
  client = createPool({ url: clientUrl, poolMax: 2, applicationName: 'client' });
});
afterAll(async () => {
  await Promise.all([owner.end(), client.end()]);
  await database.drop();
});

const userId = 'ada';
const workflowId = 'user-machine/ada';
const admit = (turnId: string) => admitTurn(client, { userId, workflowId, turnId, prompt: 'hi', openTurnsMax: 20 });

describe('innkeeper_client', () => {
  it('creates users, admits, cancels, waits, destroys and creates anew', async () => {
    expect(await createUser(client, { userId, workflowId, idleMs: 5_000 })).toEqual({ created: true });
    await setIdle(client, { userId, idleMs: null });
    for (const id of ['t1', 't2', 't3']) await admit(id);
    const given = { tool: 'bash', argumentsJson: '{"command":"true"}', origin: 'backend' } as const;
    await admitTurn(client, { userId, workflowId, turnId: 't4', prompt: 'true', given, openTurnsMax: 20 });
    expect(await requestCancel(client, { userId, turnId: 't4' })).toMatchObject({ wasQueued: true });
    const lane = openLane(owner, userId);
    await lane.open();
    expect(await requestCancel(client, { userId, turnId: 't1' })).toMatchObject({ state: 'running' });
    expect(await requestCancel(client, { userId, turnId: 't2' })).toMatchObject({ wasQueued: true });
    const listener = createTurnListener({ url: clientUrl, store: client });
    const waiting = listener.waitForEnd({ userId, turnId: 't1', timeoutMs: 30_000 });
    await lane.close('t1');
    expect(await waiting).toMatchObject({ state: 'failed' });
    await listener.close();

    const other = { userId: 'bob', workflowId: 'user-machine/bob' };
    await createUser(client, other);
    expect(await requestDestroy(client, 'bob')).toMatchObject({ state: 'destroying' });
    await owner.query(statement('test_end_bob', `update users set state = 'destroyed' where user_id = 'bob'`), []);
    expect(await createUser(client, other)).toEqual({ created: true });
  });

  it('reads', async () => {
    const lane = openLane(owner, userId);
    const { turn } = await lane.open();
    if (turn === null) throw new Error('no turn is open');
    await lane.answer(turn, 0, [bash('true')]);
    await makeReady(owner, lane);
    expect(await isMigrated(client)).toBe(true);
    expect(await getUser(client, userId)).toMatchObject({ machine: { phase: 'ready' } });
    expect(await findUserByWorkflowId(client, workflowId)).toMatchObject({ userId });
    expect(await listUsers(client, { limit: 10 })).toHaveLength(2);
    expect(await getTurn(client, { userId, turnId: 't3' })).toMatchObject({ state: 'running', steps: 1, toolCalls: 1 });
    expect(await listTurns(client, { userId, limit: 10 })).toHaveLength(4);
    expect((await readEvents(client, { userId, after: 0, limit: 100 })).length).toBeGreaterThan(5);
    expect(await usage(client, { at: new Date() })).toHaveLength(2);
    expect(await listFindings(client, { withResolved: true, limit: 10 })).toEqual([]);
  });

  it.each([
    `update turns set given_arguments = '{}'`,
    `update machines set phase = 'failed'`,
    `update turns set answer = 'forged'`,
    `update turns set prompt = 'forged'`,
    `update users set lane = 99`,
    `update users set generation = 99`,
    `update tool_calls set arguments_json = '{}'`,
    `insert into tool_calls (turn_key, step, index, call_id, cmd_id, tool, arguments_json, title) values (1, 0, 9, 'c', 'c', 'bash', '{}', 't')`,
    `insert into machines (user_id, generation, phase, create_key, vcpu, memory_mib, storage_gib, owner_nonce) values ('bob', 1, 'ready', 'k', 1, 1, 1, 'n')`,
    `insert into transcript (user_id, seq, kind, text) values ('bob', 1, 'note', 'forged')`,
    `insert into awake_intervals (user_id, generation, started_at) values ('ada', 1, now())`,
    `update turn_events set body = '{}'`,
    'delete from turns',
    'truncate turn_events',
    'select owner_nonce from machines',
    'select create_key from machines',
    'select idempotency_key from machine_requests',
    'select request_key from reconcile_findings',
    `update reconcile_findings set resolved_at = now()`,
    'select machine_key from reconcile_sightings',
    'create table mine (x integer)',
  ])('may not: %s', async (sql) => {
    await expect(client.query(statement('', sql), [])).rejects.toMatchObject({ code: '42501' });
  });
});
