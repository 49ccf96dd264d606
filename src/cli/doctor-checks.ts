/** The checks of `doctor`. Each stands alone: one that fails does not hide the others. They change nothing. */
import type { Connection } from '@temporalio/client';
import { v7 as uuidv7 } from 'uuid';
import { loadClientConfig, loadConfig, type ClientConfig, type Config, type Environment } from '../config.js';
import { ERROR_TABLE, InnkeeperError, type ErrorCode } from '../contracts/errors.js';
import { SEARCH_ATTRIBUTES } from '../contracts/search-attributes.js';
import { createDedalusProvider } from '../machines/dedalus/provider.js';
import { createChatModel } from '../model/dedalus-chat.js';
import { listFindings } from '../store/findings.js';
import { isMigrated } from '../store/migrate.js';
import { listUsers } from '../store/users.js';
import { withStore } from './deployment.js';
import { CONNECT_MS_MAX, withTemporal } from './temporal.js';

const USERS_LOOKED_AT_MAX = 1_000;
const FINDINGS_MAX = 1_000;
const TASK_QUEUE_TYPE_WORKFLOW = 1;

export interface CheckResult {
  readonly name: string;
  readonly state: 'ok' | 'warning' | 'failed' | 'skipped';
  readonly detail: string;
  readonly code?: ErrorCode;
  readonly advice?: string;
}

type Finding = string | { readonly state: 'warning' | 'skipped'; readonly detail: string; readonly advice: string };

/** Runs every check, in the order in which they depend on each other. */
export async function checkDeployment(env: Environment, options: { asksModel: boolean }): Promise<CheckResult[]> {
  const settings = await check('settings', async () => {
    loadConfig(env);
    return await Promise.resolve('complete');
  });
  const config = attempt(() => loadConfig(env));
  const client = config ?? attempt(() => loadClientConfig(env));
  const results = [settings];
  if (client !== undefined)
    results.push(...(await Promise.all([...databaseChecks(client), ...temporalChecks(client)])));
  if (config !== undefined) {
    results.push(await check('machines', () => checkProvider(config)));
    const name = 'model';
    if (options.asksModel) results.push(await check(name, () => checkModel(config)));
    else results.push({ name, state: 'skipped', detail: 'not asked' });
  }
  return results;
}

function databaseChecks(config: ClientConfig): Promise<CheckResult>[] {
  return [
    check('postgres', () =>
      withStore(config, async (store) => {
        if (await isMigrated(store)) return 'reachable, migrated';
        throw new InnkeeperError('STORE_NOT_MIGRATED', 'The schema is older than this release.');
      }),
    ),
    check('machines as bootstrapped', () =>
      withStore(config, async (store) => {
        const users = await listUsers(store, { limit: USERS_LOOKED_AT_MAX });
        const lacking = users.filter(({ machine }) => machine.missing.length > 0);
        if (lacking.length === 0) return `${users.length} user(s), nothing is missing`;
        const what = [...new Set(lacking.flatMap(({ machine }) => machine.missing))].join(', ');
        return {
          state: 'warning',
          detail: `${lacking.length} machine(s) lack ${what}`,
          advice: 'They could not be installed; the agent is told. Check that machines reach their package servers.',
        };
      }),
    ),
    check('findings', () => checkFindings(config)),
  ];
}

/** Findings that one reconcile was not enough for. What is only reported is nobody's fault. */
async function checkFindings(config: ClientConfig): Promise<Finding> {
  const open = await withStore(config, (store) => listFindings(store, { withResolved: false, limit: FINDINGS_MAX }));
  const lasting = open.filter(({ action, timesSeen }) => action !== 'report' && timesSeen > 1);
  if (lasting.length === 0) return open.length === 0 ? 'none' : `${open.length}, none that lasts`;
  const kinds = [...new Set(lasting.map(({ kind }) => kind))].join(', ');
  return {
    state: 'warning',
    detail: `${lasting.length} last: ${kinds}`,
    advice: 'Look at them: innkeeper findings. docs/operations.md says what each kind means.',
  };
}

function temporalChecks(config: ClientConfig): Promise<CheckResult>[] {
  const { namespace, taskQueue } = config.temporal;
  return [
    check('temporal', () =>
      ask(config, async ({ workflowService }) => {
        await workflowService.describeNamespace({ namespace });
        return `reachable, namespace ${namespace}`;
      }),
    ),
    check('search attributes', () =>
      ask(config, async ({ operatorService }) => {
        const { customAttributes } = await operatorService.listSearchAttributes({ namespace });
        const missing = Object.values(SEARCH_ATTRIBUTES).filter(({ name }) => !(name in (customAttributes ?? {})));
        if (missing.length === 0) return 'registered';
        throw new InnkeeperError(
          'SEARCH_ATTRIBUTES_MISSING',
          `Missing: ${missing.map(({ name }) => name).join(', ')}.`,
        );
      }),
    ),
    check('worker', () =>
      ask(config, async ({ workflowService }) => {
        const request = { namespace, taskQueue: { name: taskQueue }, taskQueueType: TASK_QUEUE_TYPE_WORKFLOW };
        const { pollers } = await workflowService.describeTaskQueue(request);
        if ((pollers ?? []).length > 0) return `${pollers?.length} on task queue ${taskQueue}`;
        return {
          state: 'warning',
          detail: `none polls task queue ${taskQueue}`,
          advice: 'Turns are taken and wait: start a worker.',
        };
      }),
    ),
  ];
}

async function checkProvider(config: Config): Promise<Finding> {
  const newKey = (): string => uuidv7().replaceAll('-', '');
  const { machines } = await createDedalusProvider({ ...config.machines, newKey }).list({ limit: 1 });
  return `reachable with the key${machines.length === 0 ? ', no machine yet' : ''}`;
}

async function checkModel(config: Config): Promise<Finding> {
  const { baseUrl, apiKey, name, requestTimeoutMs, extraBody } = config.model;
  const model = createChatModel({ baseUrl, apiKey, model: name, requestTimeoutMs, extraBody });
  const answer = await model.complete({
    messages: [{ role: 'user', content: 'Answer with the word ready.' }],
    tools: [],
    signal: AbortSignal.timeout(requestTimeoutMs),
  });
  return `${answer.model} answers`;
}

/** Each of these is one request. */
function ask<T>(config: ClientConfig, work: (connection: Connection) => Promise<T>): Promise<T> {
  return withTemporal(config, (connection) =>
    connection.withDeadline(Date.now() + CONNECT_MS_MAX, () => work(connection)),
  );
}

async function check(name: string, look: () => Promise<Finding>): Promise<CheckResult> {
  try {
    const finding = await look();
    return typeof finding === 'string' ? { name, state: 'ok', detail: finding } : { name, ...finding };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    if (!InnkeeperError.is(error)) return { name, state: 'failed', detail };
    return { name, state: 'failed', detail, code: error.code, advice: ERROR_TABLE[error.code].advice };
  }
}

function attempt<T>(load: () => T): T | undefined {
  try {
    return load();
  } catch {
    return undefined; // The check of the settings reports it.
  }
}
