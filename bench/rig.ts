/**
 * What a benchmark measures on: Postgres, Temporal, the emulator and one worker as `npm start` runs them, all fresh, in a folder of
 * their own, on free ports of the loopback address; and beside them the plain handler on the same emulator. All is stopped and
 * removed at the end, also when the benchmark is interrupted.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readTools } from '../src/dev/paths.js';
import { pickFreePort, pickFreePorts } from '../src/dev/ports.js';
import { startPostgres } from '../src/dev/postgres.js';
import { startTemporal } from '../src/dev/temporal.js';
import { migrate } from '../src/store/migrate.js';
import type { TurnView } from '../src/client.js';
import { startStack, type Stack } from '../test/support/stack.js';
import type { BenchmarkContext } from './benchmark.js';
import { CookbookHandler } from './cookbook-handler.js';

export interface RigOptions {
  /** Delay of every model call. */
  readonly modelDelayMs: number;
  /** Settings of the emulator over its defaults: src/emulator/state/settings.ts. */
  readonly emulator?: Readonly<Record<string, number | boolean | string>>;
  /** Settings of the worker. */
  readonly env?: Readonly<Record<string, string>>;
  readonly workerNodeArgs?: readonly string[];
}

export interface Rig {
  readonly stack: Stack;
  readonly handler: CookbookHandler;
  readonly temporalAddress: string;
  readonly databaseUrl: string;
  /** Process ids, for figures of CPU and memory. */
  readonly pids: {
    readonly worker: number;
    readonly temporal: number;
    readonly postgres: number;
    readonly emulator: number;
  };
  /** Submits a turn of a user and waits for its result. @throws Error unless it completed */
  runTurn(userId: string, prompt: string): Promise<TurnView>;
  setModelDelay(delayMs: number): Promise<void>;
  configureEmulator(settings: RigOptions['emulator']): Promise<void>;
}

const TURN_MS_MAX = 120_000;
/** Machines are made at once unless a benchmark says otherwise; none of them measures that. */
const EMULATOR_SETTINGS = { createMs: 0, sleepSnapshots: false };

const running = new Set<() => Promise<void>>();

/** Stops whatever rigs run; for whoever interrupts a benchmark. */
export async function stopAllRigs(): Promise<void> {
  await Promise.allSettled([...running].map((stop) => stop()));
}

export async function withRig<T>(
  context: BenchmarkContext,
  options: RigOptions,
  body: (rig: Rig) => Promise<T>,
): Promise<T> {
  const dataDir = mkdtempSync(join(tmpdir(), 'innkeeper-bench-'));
  const stops: (() => Promise<unknown>)[] = [async () => rmSync(dataDir, { recursive: true, force: true })];
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopping ??= stopInTurn(stops));
  running.add(stop);
  try {
    return await body(await startRig(withProfile(options, context), dataDir, stops));
  } finally {
    await stop();
    running.delete(stop);
  }
}

/** Lets the worker write a CPU profile of each of its threads when it ends. */
function withProfile(options: RigOptions, { profileDir }: BenchmarkContext): RigOptions {
  if (profileDir === undefined) return options;
  return { ...options, workerNodeArgs: ['--cpu-prof', `--cpu-prof-dir=${profileDir}`] };
}

/** Last started, first stopped. */
async function stopInTurn(stops: readonly (() => Promise<unknown>)[]): Promise<void> {
  for (const stop of stops.toReversed()) await stop();
}

async function startRig(options: RigOptions, dataDir: string, stops: (() => Promise<unknown>)[]): Promise<Rig> {
  const postgres = await startPostgres({ dataDir, port: await pickFreePort() });
  stops.push(postgres.stop);
  await migrate({ url: postgres.url, log: { info: () => undefined, warn: () => undefined } });
  const [port = 0, uiPort = 0] = await pickFreePorts(2);
  const temporal = await startTemporal({ executable: readTools().temporal ?? 'temporal', dataDir, port, uiPort });
  stops.push(temporal.stop);
  const stack = await startStack({
    databaseUrl: postgres.url,
    temporalAddress: temporal.address,
    env: { LOG_LEVEL: 'warn', ...options.env },
    ...(options.workerNodeArgs === undefined ? {} : { workerNodeArgs: options.workerNodeArgs }),
  });
  stops.push(stack.stop);

  const { url, apiKey } = stack.emulator;
  const handler = new CookbookHandler({ machinesUrl: url, modelUrl: `${url}/v1`, apiKey, model: 'emulator/shell' });
  let turns = 0;
  const rig: Rig = {
    stack,
    handler,
    temporalAddress: temporal.address,
    databaseUrl: postgres.url,
    pids: {
      worker: stack.workers[0]?.pid ?? 0,
      temporal: temporal.process.pid,
      postgres: postgres.process.pid,
      emulator: stack.emulatorProcess().pid,
    },
    async runTurn(userId, prompt) {
      const turn = { userId, turnId: `turn-${(turns += 1)}` };
      await stack.client.submitTurn({ ...turn, prompt });
      const view = await stack.client.turnResult({ ...turn, timeoutMs: TURN_MS_MAX });
      if (view.state !== 'completed') {
        throw new Error(`a turn ended ${view.state} ${view.errorCode ?? ''}\n${stack.workerLog()}`);
      }
      return view;
    },
    setModelDelay: (delayMs) => stack.emulator.call('POST', '/_emulator/model', { delayMs }),
    configureEmulator: (settings) => stack.emulator.call('PUT', '/_emulator/settings', settings),
  };
  await rig.configureEmulator({ ...EMULATOR_SETTINGS, ...options.emulator });
  await rig.setModelDelay(options.modelDelayMs);
  return rig;
}
