/**
 * Innkeeper's own processes on top of given servers: emulator and workers as real processes that a test may kill, the client
 * library in this one. Knows nothing of the test runner, so that the benchmarks use it too.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient, type ClientOptions, type InnkeeperClient } from '../../src/client.js';
import { openChildList } from '../../src/dev/child-list.js';
import { DIST_DIR } from '../../src/dev/paths.js';
import { pickFreePort } from '../../src/dev/ports.js';
import { startProcess, type OnSpawn, type RunningProcess } from '../../src/dev/process.js';
import { EmulatorAdmin } from './emulator-admin.js';
import { waitFor } from './wait-for.js';

export type Profile = 'g2' | 'g3' | 'g5' | 'g6';

export interface StackOptions {
  readonly databaseUrl: string;
  readonly temporalAddress: string;
  readonly profile?: Profile;
  /** Settings of the workers, over those that connect them. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where the client library finds Postgres, if not where the workers do. */
  readonly clientDatabaseUrl?: string;
  /** Settings of the client library. */
  readonly client?: Partial<Pick<ClientOptions, 'openTurnsMax' | 'workflowIdKey'>>;
  /** Leaves data and logs where they are at the end. */
  readonly keepsData?: boolean;
  /** Default: one of its own. */
  readonly taskQueue?: string;
  /** Build that the workers are of; default: the project's own. */
  readonly distDir?: string;
  /** Workers to start; default 1. */
  readonly workers?: number;
  /** Options of Node itself for the workers, such as `--cpu-prof`. */
  readonly workerNodeArgs?: readonly string[];
}

/** A task queue of its own, with its client and its workers: lanes that no other branch of the stack sees. */
export interface Branch {
  readonly client: InnkeeperClient;
  readonly taskQueue: string;
  readonly workers: RunningProcess[];
  startWorker(env?: Readonly<Record<string, string>>): Promise<RunningProcess>;
  /** A replica of the gateway on the branch's task queue. */
  startGateway(env?: Readonly<Record<string, string>>): Promise<RunningGateway>;
  /** End of the workers' log. */
  workerLog(): string;
  stop(): Promise<void>;
}

export interface Stack extends Branch {
  readonly emulator: EmulatorAdmin;
  readonly dataDir: string;
  /** Another branch on the same servers; it starts no worker by itself. Stop it before the stack. */
  openBranch(own?: Partial<Omit<StackOptions, 'profile' | 'workers'>>): Branch;
  /** Kills the emulator's process with -9, sandboxes included, and starts it again on its data and port. */
  restartEmulator(): Promise<void>;
  emulatorProcess(): RunningProcess;
  /** Ends every process by force, at once; for whoever is interrupted. */
  killAll(): void;
}

export interface RunningGateway {
  readonly process: RunningProcess;
  readonly url: string;
}

let branches = 0;

export async function startStack(options: StackOptions): Promise<Stack> {
  const dataDir = mkdtempSync(join(tmpdir(), 'innkeeper-stack-'));
  // Ends what a killed test run leaves behind.
  const children = openChildList(join(dataDir, 'children.json'));
  const onSpawn = children.add;
  const own = { dataDir, onSpawn, profile: options.profile ?? 'g2' };
  let emulator = await startEmulatorProcess({ ...own, port: await pickFreePort() });
  const { ready } = emulator;
  const branch = openBranch({ ...options, emulator: ready, dataDir, onSpawn });
  async function stop(): Promise<void> {
    await branch.stop();
    await emulator.process.stop();
    await children.clear();
    if (options.keepsData !== true) rmSync(dataDir, { recursive: true, force: true });
  }
  try {
    for (let started = 0; started < (options.workers ?? 1); started += 1) await branch.startWorker();
  } catch (error) {
    await stop();
    throw error;
  }

  return {
    client: branch.client,
    emulator: new EmulatorAdmin(ready.url, ready.apiKey),
    taskQueue: branch.taskQueue,
    dataDir,
    workers: branch.workers,
    startWorker: branch.startWorker,
    startGateway: branch.startGateway,
    openBranch: (other = {}) => openBranch({ ...options, ...other, emulator: ready, dataDir, onSpawn }),
    emulatorProcess: () => emulator.process,
    killAll: children.killAll,
    async restartEmulator() {
      emulator.process.signal('SIGKILL');
      await emulator.process.exited;
      emulator = await startEmulatorProcess({ ...own, port: Number(new URL(ready.url).port) });
    },
    workerLog: branch.workerLog,
    stop,
  };
}

interface BranchOptions extends StackOptions {
  readonly emulator: EmulatorReady;
  readonly dataDir: string;
  readonly onSpawn: OnSpawn;
}

function openBranch(options: BranchOptions): Branch {
  const { taskQueue = `innkeeper-${process.pid}-${(branches += 1)}` } = options;
  const { url, apiKey, modelUrl } = options.emulator;
  const workers: RunningProcess[] = [];
  const gateways: RunningProcess[] = [];
  const client = createClient({
    temporal: { address: options.temporalAddress, taskQueue },
    database: { url: options.clientDatabaseUrl ?? options.databaseUrl },
    ...options.client,
  });

  async function startWorker(env: Readonly<Record<string, string>> = {}): Promise<RunningProcess> {
    let isReady = false;
    const worker = await startProcess({
      label: 'worker',
      command: process.execPath,
      args: [...(options.workerNodeArgs ?? []), join(options.distDir ?? DIST_DIR, 'worker.js')],
      env: {
        PATH: process.env['PATH'] ?? '',
        TEMPORAL_ADDRESS: options.temporalAddress,
        TEMPORAL_TASK_QUEUE: taskQueue,
        DATABASE_URL: options.databaseUrl,
        DEDALUS_MACHINES_BASE_URL: url,
        DEDALUS_API_KEY: apiKey,
        MODEL_BASE_URL: modelUrl,
        MODEL_API_KEY: apiKey,
        MODEL_NAME: 'emulator/shell',
        LOG_LEVEL: 'info',
        PROVIDER_ACCOUNT: 'dedicated',
        // Who wants a reconcile asks for one.
        RECONCILE_INTERVAL_MS: '0',
        ...options.env,
        ...env,
      },
      logFile: join(options.dataDir, `${taskQueue}.log`),
      onSpawn: options.onSpawn,
      onLine: () => (isReady = true),
    });
    workers.push(worker);
    await waitFor('the worker polls', () => {
      if (worker.hasExited()) throw new Error(`the worker ended:\n${worker.logTail()}`);
      return isReady;
    });
    return worker;
  }

  async function startGateway(env: Readonly<Record<string, string>> = {}): Promise<RunningGateway> {
    let line: string | undefined;
    const gateway = await startProcess({
      label: 'gateway',
      command: process.execPath,
      args: [join(DIST_DIR, 'gateway.js')],
      env: {
        PATH: process.env['PATH'] ?? '',
        TEMPORAL_ADDRESS: options.temporalAddress,
        TEMPORAL_TASK_QUEUE: taskQueue,
        DATABASE_URL: options.databaseUrl,
        DEDALUS_MACHINES_BASE_URL: url,
        DEDALUS_API_KEY: apiKey,
        GATEWAY_PORT: '0',
        LOG_LEVEL: 'info',
        ...env,
      },
      logFile: join(options.dataDir, `${taskQueue}-gateway.log`),
      onSpawn: options.onSpawn,
      onLine: (text) => (line ??= text),
    });
    gateways.push(gateway);
    await waitFor('the gateway serves', () => {
      if (gateway.hasExited()) throw new Error(`the gateway ended:\n${gateway.logTail()}`);
      return line !== undefined;
    });
    return { process: gateway, url: (JSON.parse(line ?? '') as { gatewayUrl: string }).gatewayUrl };
  }

  return {
    client,
    taskQueue,
    workers,
    startWorker,
    startGateway,
    workerLog: () => workers.at(-1)?.logTail() ?? '',
    async stop() {
      await client.close();
      await Promise.all([...gateways, ...workers].map((process) => process.stop()));
    },
  };
}

interface EmulatorReady {
  readonly url: string;
  readonly apiKey: string;
  readonly modelUrl: string;
}

async function startEmulatorProcess({
  dataDir,
  profile,
  port,
  onSpawn,
}: {
  readonly dataDir: string;
  readonly profile: Profile;
  readonly port: number;
  readonly onSpawn: OnSpawn;
}): Promise<{ process: RunningProcess; ready: EmulatorReady }> {
  let line: string | undefined;
  const emulator = await startProcess({
    label: 'emulator',
    command: process.execPath,
    args: [
      join(DIST_DIR, 'cli.js'),
      ...['emulator', '--port', String(port), '--profile', profile, '--data', join(dataDir, 'emulator')],
    ],
    env: { PATH: process.env['PATH'] ?? '' },
    logFile: join(dataDir, 'emulator.log'),
    onSpawn,
    onLine: (text) => (line ??= text),
  });
  await waitFor('the emulator serves', () => {
    if (emulator.hasExited()) throw new Error(`the emulator ended:\n${emulator.logTail()}`);
    return line !== undefined;
  });
  return { process: emulator, ready: JSON.parse(line ?? '') as EmulatorReady };
}
