/**
 * Everything of Innkeeper on one machine: Postgres, Temporal, the emulator (or the cloud in its place), a worker and the gateway, started in
 * the order they need each other, kept running, and stopped in the opposite order. Used by `innkeeper dev` and by tests.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { inheritedEnvironment, loadConfig, type Environment } from '../config.js';
import { InnkeeperError } from '../contracts/errors.js';
import type { Logger } from '../log.js';
import { migrate } from '../store/migrate.js';
import { openChildList, type ChildList } from './child-list.js';
import { childListFile, lockData, type DataLock } from './data-lock.js';
import { STOP_ORDER } from './end-processes.js';
import { localKey } from './local-key.js';
import { startEmulatorProcess, startGatewayProcess, startWorkerProcess, type EmulatorReady } from './node-parts.js';
import { readTools, RUN_FILE } from './paths.js';
import { startPostgres, type RunningPostgres } from './postgres.js';
import {
  checkSettings,
  choosePorts,
  gatewaySettings,
  localSettings,
  usesEmulator,
  workerSettings,
} from './stack-settings.js';
import { supervise, type Startable, type Supervised } from './supervise.js';
import { startTemporal, type RunningTemporal } from './temporal.js';

export type PartName = (typeof STOP_ORDER)[number];

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

/** A stack that runs. */
export interface RunningStack {
  readonly temporalAddress: string;
  readonly temporalUiUrl: string;
  readonly databaseUrl: string;
  /** undefined: the cloud. */
  readonly emulator: EmulatorReady | undefined;
  readonly gatewayUrl: string;
  /** Of the scope operator. */
  readonly apiKey: string;
  /** Settings of the worker, secrets included; for `loadConfig` and `loadClientConfig`. */
  readonly settings: Readonly<Record<string, string>>;
  /** Process id of a part as it runs now; undefined for the emulator where the cloud is used. */
  pidOf(part: PartName): number | undefined;
}

export interface Stack {
  /**
   * Resolves when a message would be answered.
   * @throws InnkeeperError SETTINGS_INVALID, PORT_IN_USE, DATA_IN_USE (nothing was started), or the code of the part that failed
   *   (what was started is stopped)
   */
  start(): Promise<RunningStack>;
  /** Stops all in order, in the middle of a start too; data stays. Idempotent. */
  stop(): Promise<void>;
  /** Ends all at once, by force; `stop` is to follow. */
  kill(): void;
}

/** Makes a stack; nothing happens before `start`. Start it once. */
export function createStack(options: StackOptions): Stack {
  const { env, log } = options;
  const dataDir = resolve(options.dataDir);
  const parts: Partial<Record<PartName, Supervised<Startable>>> = {};
  let children: ChildList | undefined;
  let lock: DataLock | undefined;
  let stopping: Promise<void> | undefined;

  /** Starts a part and keeps it running. */
  async function keep<T extends Startable>(label: PartName, startPart: () => Promise<T>): Promise<Supervised<T>> {
    const interrupted = new InnkeeperError('CANCELLED', 'The start was interrupted.');
    if (stopping !== undefined) throw interrupted;
    const part = await supervise({ label, start: startPart, log });
    parts[label] = part;
    if (stopping !== undefined) {
      await part.stop();
      throw interrupted;
    }
    return part;
  }

  async function start(): Promise<RunningStack> {
    checkSettings(env);
    const executable = readTools().temporal ?? 'temporal';
    lock = await lockData(dataDir);
    if (lock.ended.length > 0) {
      log.warn({ parts: lock.ended.map(({ label }) => label) }, 'ended what an earlier, killed run left behind');
    }
    const ports = await choosePorts(options.ports, { usesEmulator: usesEmulator(env) });
    children = openChildList(childListFile(dataDir));
    const common = { dataDir, onSpawn: children.add };

    const database = async (): Promise<RunningPostgres> => {
      const part = await keep('postgres', () => startPostgres({ ...common, port: ports.postgres }));
      await migrate({ url: part.current().url, log });
      return part.current();
    };
    const lanes = async (): Promise<RunningTemporal> => {
      const where = { port: ports.temporal, uiPort: ports.temporalUi };
      return (await keep('temporal', () => startTemporal({ ...common, ...where, executable }))).current();
    };
    const machines = async (): Promise<EmulatorReady | undefined> => {
      if (!usesEmulator(env)) return undefined;
      const how = { port: ports.emulator, args: options.emulatorArgs, env: inheritedEnvironment(env) };
      return (await keep('emulator', () => startEmulatorProcess({ ...common, ...how }))).current().ready;
    };
    const [postgres, temporal, emulator] = await settleAll([database(), lanes(), machines()]);

    const addresses = { databaseUrl: postgres.url, temporalAddress: temporal.address, emulator };
    const temporalUiUrl = temporal.uiUrl;
    const local = localSettings(env, addresses);
    const settings = workerSettings(env, local);
    const { namespace, taskQueue } = loadConfig(settings).temporal;
    const workerEnv = { ...inheritedEnvironment(env), ...settings };
    const lane = { temporalAddress: temporal.address, namespace, taskQueue };
    const worker = (): Promise<unknown> =>
      keep('worker', () => startWorkerProcess({ ...common, ...lane, env: workerEnv }));
    const door = async (): Promise<string> => {
      const gatewayEnv = { ...workerEnv, ...gatewaySettings({ port: ports.gateway, temporalUiUrl }) };
      return (await keep('gateway', () => startGatewayProcess({ ...common, env: gatewayEnv }))).current().url;
    };
    const apiKey = await localKey({ dataDir, databaseUrl: postgres.url });
    const [gatewayUrl] = await settleAll([door(), worker()]);
    writeFileSync(join(dataDir, RUN_FILE), JSON.stringify({ temporalUiUrl, settings: local }), { mode: 0o600 });
    return {
      ...addresses,
      temporalUiUrl,
      gatewayUrl,
      apiKey,
      settings,
      pidOf: (part) => parts[part]?.current().process.pid,
    };
  }

  async function stopAll(): Promise<void> {
    rmSync(join(dataDir, RUN_FILE), { force: true });
    for (const label of STOP_ORDER) await parts[label]?.stop();
    // What was still starting, interrupted.
    children?.killAll();
    await children?.clear();
    lock?.release();
  }

  return {
    start: async () => {
      try {
        return await start();
      } catch (error) {
        await (stopping ??= stopAll());
        throw error;
      }
    },
    stop: () => (stopping ??= stopAll()),
    kill: () => children?.killAll(),
  };
}

/** As Promise.all, but waits for every one even when one fails: only then is it known what has to be stopped. */
async function settleAll<T extends readonly Promise<unknown>[]>(
  work: readonly [...T],
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(work);
  return await Promise.all(work);
}
