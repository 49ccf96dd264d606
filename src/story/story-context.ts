/** What every step of the story has at hand: a client like any backend's, the outside records, and three users of its own. */
import { createClient, type InnkeeperClient, type TurnView } from '../client.js';
import { loadConfig, type Config } from '../config.js';
import type { RunningStack } from '../dev/stack.js';
import { createPool, type Store } from '../store/pool.js';
import { openDatabaseRecord, type DatabaseRecord } from './record/database-record.js';
import { openProviderRecord, type ProviderRecord } from './record/provider-record.js';

/** Quiet time of the story's first user: short, because nobody wants to watch five minutes of it. */
export const QUIET_MS = 3_000;
const TURN_MS_MAX = 90_000;

export interface Story {
  readonly client: InnkeeperClient;
  readonly store: Store;
  readonly provider: ProviderRecord;
  readonly database: DatabaseRecord;
  readonly config: Config;
  readonly users: { readonly ada: string; readonly grace: string; readonly crowd: string };
  /** What no guest may ever see, by name. */
  readonly secrets: readonly { readonly name: string; readonly value: string }[];
  /** What only ada's machine may hold, and what only grace's may. */
  readonly canaries: { readonly ada: string; readonly grace: string };
  /** Process id of the worker that runs now. */
  workerPid(): number | undefined;
  /** Submits a turn and waits for its end. */
  say(turn: { userId: string; turnId: string; prompt: string }): Promise<TurnView>;
  close(): Promise<void>;
}

/** @param run makes the names of this run unlike those of an earlier one on the same data */
export function openStory(stack: RunningStack, run: string): Story {
  const { emulator } = stack;
  if (emulator === undefined) throw new Error('The story needs the emulator: its ledger is what it checks against.');
  const config = loadConfig(stack.settings);
  const client = createClient({
    temporal: {
      address: stack.temporalAddress,
      namespace: config.temporal.namespace,
      taskQueue: config.temporal.taskQueue,
    },
    database: { url: stack.databaseUrl },
    openTurnsMax: config.turn.openTurnsMax,
    ...(config.workflowIdKey === undefined ? {} : { workflowIdKey: config.workflowIdKey }),
  });
  const store = createPool({ url: stack.databaseUrl, poolMax: 2, applicationName: 'innkeeper-story' });
  const database = openDatabaseRecord(stack.databaseUrl);
  return {
    client,
    store,
    database,
    provider: openProviderRecord(emulator),
    config,
    users: { ada: `ada-${run}`, grace: `grace-${run}`, crowd: `crowd-${run}` },
    secrets: [
      { name: "the provider's key", value: config.machines.apiKey },
      { name: "the model's key", value: config.model.apiKey },
      { name: "the database's password", value: new URL(stack.databaseUrl).password },
      ...(config.workflowIdKey === undefined ? [] : [{ name: 'the workflow id key', value: config.workflowIdKey }]),
    ].filter(({ value }) => value !== ''),
    canaries: { ada: `canary-of-ada-${run}`, grace: `canary-of-grace-${run}` },
    workerPid: () => stack.pidOf('worker'),
    async say(turn) {
      await client.submitTurn(turn);
      return client.turnResult({ userId: turn.userId, turnId: turn.turnId, timeoutMs: TURN_MS_MAX });
    },
    async close() {
      await client.close();
      await database.close();
      await store.end();
    },
  };
}

/** Machine id and home of a user who has a machine. @throws Error where there is none */
export async function machineOf(
  story: Pick<Story, 'database' | 'provider'>,
  userId: string,
): Promise<{ machineId: string; homePath: string }> {
  const row = await story.database.machine(userId);
  if (row === undefined) throw new Error(`${userId} has no machine.`);
  const { homePath } = await story.provider.machine(row.machineId);
  return { machineId: row.machineId, homePath };
}
