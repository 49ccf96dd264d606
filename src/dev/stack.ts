/**
 * Everything of Innkeeper on one machine: Postgres, Temporal, the emulator (or the cloud in its place) and a worker, started in
 * the order they need each other, kept running, and stopped in the opposite order. Used by `innkeeper dev` and by tests.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { inheritedEnvironment, type Environment } from '../config.js';
import type { Logger } from '../log.js';
import { migrate } from '../store/migrate.js';
import { openChildList } from './child-list.js';
import { childListFile, lockData } from './data-lock.js';
import { startEmulatorProcess, startWorkerProcess } from './node-parts.js';
import { readTools } from './paths.js';
import { startPostgres } from './postgres.js';
import { checkSettings, choosePorts, localSettings, usesEmulator, workerSettings } from './stack-settings.js';
import { supervise, type Startable, type Supervised } from './supervise.js';
import { startTemporal } from './temporal.js';

/** Written when all is ready, for commands typed beside a running stack; removed at its end. */
export const RUN_FILE = 'run.json';

export type PartName = 'postgres' | 'temporal' | 'emulator' | 'worker';

export interface StackOptions {
  /** All state is below it; see docs/operations.md. */
  readonly dataDir: string;
  readonly ports: 'fixed' | 'auto';
  /** The caller's settings; those that dev gives itself are ignored. */
  readonly env: Environment;
  /** Further options of `innkeeper emulator`, such as `--profile g5`. */
  readonly emulatorArgs: readonly string[];
  readonly log: Logger;
}

export interface Stack {
  readonly temporalAddress: string;
  readonly temporalUiUrl: string;
  readonly databaseUrl: string;
  /** undefined: the cloud. */
  readonly emulator: { readonly url: string; readonly apiKey: string; readonly modelUrl: string } | undefined;
  /** Settings of the worker, secrets included; for `loadConfig` and `loadClientConfig`. */
  readonly settings: Readonly<Record<string, string>>;
  /** Process id of a part as it runs now; undefined for the emulator where the cloud is used. */
  pidOf(part: PartName): number | undefined;
  /** Stops all in order; data stays. Idempotent. */
  stop(): Promise<void>;
  /** Ends all at once, by force. */
  kill(): void;
}

/**
 * Starts a stack. Resolves when a message would be answered.
 * @throws InnkeeperError SETTINGS_INVALID, PORT_IN_USE, DATA_IN_USE (nothing was started), or the code of the part that failed
 *   (what was started is stopped)
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { env, log } = options;
  const dataDir = resolve(options.dataDir);
  checkSettings(env);
  const tools = readTools();
  mkdirSync(dataDir, { recursive: true });
  const lock = await lockData(dataDir);
  const parts: Partial<Record<PartName, Supervised<Startable>>> = {};
  const children = openChildList(childListFile(dataDir));
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> =>
    (stopping ??= (async () => {
      rmSync(join(dataDir, RUN_FILE), { force: true });
      for (const name of ['worker', 'temporal', 'emulator', 'postgres'] as const) await parts[name]?.stop();
      await children.clear();
      lock.release();
    })());
  try {
    if (lock.ended.length > 0) {
      log.warn({ parts: lock.ended.map(({ label }) => label) }, 'ended what an earlier, killed run left behind');
    }
    const ports = await choosePorts(options.ports, { usesEmulator: usesEmulator(env) });
    const common = { dataDir, onSpawn: children.add };
    const keep = async <T extends Startable>(label: PartName, start: () => Promise<T>): Promise<Supervised<T>> =>
      (parts[label] = await supervise({ label, start, log })) as Supervised<T>;

    const database = async () => {
      const postgres = await keep('postgres', () => startPostgres({ ...common, port: ports.postgres }));
      await migrate(postgres.current().url);
      return postgres.current();
    };
    const lanes = async () => {
      const executable = tools.temporal ?? 'temporal';
      const { temporal: port, temporalUi: uiPort } = ports;
      return (await keep('temporal', () => startTemporal({ ...common, executable, port, uiPort }))).current();
    };
    const machines = async () => {
      if (!usesEmulator(env)) return undefined;
      const args = options.emulatorArgs;
      const part = { ...common, port: ports.emulator, args, env: inheritedEnvironment(env) };
      return (await keep('emulator', () => startEmulatorProcess(part))).current().ready;
    };
    const [postgres, temporal, emulator] = await settleAll([database(), lanes(), machines()]);
    const addresses = { databaseUrl: postgres.url, temporalAddress: temporal.address, emulator };
    const local = localSettings(env, addresses);
    const settings = workerSettings(env, local);
    const { temporal: lane } = checkSettings(settings);
    await keep('worker', () =>
      startWorkerProcess({
        ...common,
        ...{ temporalAddress: temporal.address, namespace: lane.namespace, taskQueue: lane.taskQueue },
        env: { ...inheritedEnvironment(env), ...settings },
      }),
    );
    const temporalUiUrl = temporal.uiUrl;
    writeFileSync(join(dataDir, RUN_FILE), JSON.stringify({ temporalUiUrl, settings: local }), { mode: 0o600 });
    const pidOf = (part: PartName): number | undefined => parts[part]?.current().process.pid;
    return { ...addresses, temporalUiUrl, settings, pidOf, stop, kill: () => children.killAll() };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** As Promise.all, but waits for every one even when one fails: only then is it known what has to be stopped. */
async function settleAll<T extends readonly Promise<unknown>[]>(
  work: readonly [...T],
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(work);
  return await Promise.all(work);
}
