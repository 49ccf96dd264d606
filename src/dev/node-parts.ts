/** Our own processes as parts: the emulator, the worker and the gateway, each run from dist/. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { InnkeeperError } from '../contracts/errors.js';
import { DIST_DIR } from './paths.js';
import { startProcess, type OnSpawn, type RunningProcess } from './process.js';
import type { Startable } from './supervise.js';

const START_MS_MAX = 60_000;
const POLL_MS = 50;
/** Above the worker's own drain, which ends by itself. */
const WORKER_STOP_GRACE_MS = 30_000;
const EMULATOR_STOP_GRACE_MS = 10_000;
const GATEWAY_STOP_GRACE_MS = 10_000;
const TASK_QUEUE_TYPE_WORKFLOW = 1;

interface PartOptions {
  readonly dataDir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly onSpawn?: OnSpawn;
}

/** The line that `innkeeper emulator` prints when it is ready. */
export interface EmulatorReady {
  readonly url: string;
  readonly apiKey: string;
  readonly modelUrl: string;
}

export interface RunningEmulatorProcess extends Startable {
  readonly ready: EmulatorReady;
}

/** Starts `innkeeper emulator` with the given options. Resolves when it serves. @throws InnkeeperError PROVIDER_UNAVAILABLE */
export async function startEmulatorProcess(
  options: PartOptions & { readonly port: number; readonly args: readonly string[] },
): Promise<RunningEmulatorProcess> {
  let ready: EmulatorReady | undefined;
  const where = ['--port', String(options.port), '--data', join(options.dataDir, 'emulator')];
  const process = await startNode('emulator', [join(DIST_DIR, 'cli.js'), 'emulator', ...where, ...options.args], {
    ...options,
    onLine: (line) => (ready ??= JSON.parse(line) as EmulatorReady),
  });
  await waitUntil(process, 'PROVIDER_UNAVAILABLE', async () => await Promise.resolve(ready !== undefined));
  if (ready === undefined) throw new Error('the emulator is ready without its line');
  return { process, ready, stop: async () => void (await process.stop({ graceMs: EMULATOR_STOP_GRACE_MS })) };
}

/** Starts a worker. Resolves when Temporal has it among the pollers of its task queue. @throws InnkeeperError TEMPORAL_UNAVAILABLE */
export async function startWorkerProcess(
  options: PartOptions & { readonly temporalAddress: string; readonly namespace: string; readonly taskQueue: string },
): Promise<Startable> {
  const process = await startNode('worker', [join(DIST_DIR, 'worker.js')], options);
  const connection = Connection.lazy({ address: options.temporalAddress });
  try {
    await waitUntil(process, 'TEMPORAL_UNAVAILABLE', async () => {
      const { pollers } = await connection.workflowService.describeTaskQueue({
        namespace: options.namespace,
        taskQueue: { name: options.taskQueue },
        taskQueueType: TASK_QUEUE_TYPE_WORKFLOW,
      });
      return (pollers ?? []).some(({ identity }) => identity?.startsWith(`${process.pid}@`));
    });
  } finally {
    await connection.close();
  }
  return { process, stop: async () => void (await process.stop({ graceMs: WORKER_STOP_GRACE_MS })) };
}

export interface RunningGatewayProcess extends Startable {
  readonly url: string;
}

/** Starts a gateway. Resolves when it serves. @throws InnkeeperError GATEWAY_UNAVAILABLE */
export async function startGatewayProcess(options: PartOptions): Promise<RunningGatewayProcess> {
  let url: string | undefined;
  const process = await startNode('gateway', [join(DIST_DIR, 'gateway.js')], {
    ...options,
    onLine: (line) => (url ??= (JSON.parse(line) as { gatewayUrl: string }).gatewayUrl),
  });
  await waitUntil(process, 'GATEWAY_UNAVAILABLE', async () => await Promise.resolve(url !== undefined));
  if (url === undefined) throw new Error('the gateway is ready without its line');
  return { process, url, stop: async () => void (await process.stop({ graceMs: GATEWAY_STOP_GRACE_MS })) };
}

function startNode(
  label: string,
  args: readonly string[],
  options: PartOptions & { readonly onLine?: (line: string) => void },
): Promise<RunningProcess> {
  return startProcess({
    label,
    command: process.execPath,
    args: ['--enable-source-maps', ...args],
    env: options.env,
    logFile: join(options.dataDir, 'logs', `${label}.log`),
    ...(options.onLine === undefined ? {} : { onLine: options.onLine }),
    ...(options.onSpawn === undefined ? {} : { onSpawn: options.onSpawn }),
  });
}

async function waitUntil(
  process: RunningProcess,
  code: 'PROVIDER_UNAVAILABLE' | 'TEMPORAL_UNAVAILABLE' | 'GATEWAY_UNAVAILABLE',
  isReady: () => Promise<boolean>,
): Promise<void> {
  for (let waitedMs = 0; waitedMs < START_MS_MAX && !process.hasExited(); waitedMs += POLL_MS) {
    if (await isReady().catch(() => false)) return; // Not answering yet is not ready yet.
    await delay(POLL_MS);
  }
  await process.stop();
  throw new InnkeeperError(code, `The ${process.label} did not start. The end of its log:\n${process.logTail()}`);
}
