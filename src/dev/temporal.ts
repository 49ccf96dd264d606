/**
 * A real Temporal server for the laptop and for tests: the dev server of the `temporal` CLI, UI included.
 * It survives kill -9 with its file.
 */
import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { InnkeeperError } from '../contracts/errors.js';
import { SEARCH_ATTRIBUTES } from '../contracts/search-attributes.js';
import { LOOPBACK } from './ports.js';
import { startProcess, type OnSpawn, type RunningProcess } from './process.js';

const START_MS_MAX = 60_000;
const POLL_MS = 25;
/** The dev server flushes nothing that a kill would lose, so there is little to wait for. */
const STOP_GRACE_MS = 5_000;

/**
 * The dev server polls its queues 20 times a second by default, which puts a 50 ms grid under every hop of a turn.
 */
const DYNAMIC_CONFIG = ['history.transferProcessorMaxPollRPS=2000', 'history.timerProcessorMaxPollRPS=2000'];
/** Three times the throughput; what a loss of power may cost here is the last second of a laptop's lanes. */
const SQLITE_PRAGMAS = ['synchronous=off', 'journal_mode=wal'];

export interface TemporalOptions {
  /** The `temporal` binary. */
  readonly executable: string;
  /** Holds the server's state in `temporal.db`, its log in `logs/`. */
  readonly dataDir: string;
  readonly port: number;
  readonly uiPort: number;
  readonly onSpawn?: OnSpawn;
}

export interface RunningTemporal {
  /** host:port of its gRPC. */
  readonly address: string;
  readonly uiUrl: string;
  readonly process: RunningProcess;
  stop(): Promise<void>;
}

/** Starts the server of a data folder. Resolves when namespace `default` answers and the UI's port is open. */
export async function startTemporal(options: TemporalOptions): Promise<RunningTemporal> {
  const dataDir = resolve(options.dataDir);
  const dbFile = join(dataDir, 'temporal.db');
  mkdirSync(dirname(dbFile), { recursive: true });
  const process = await startProcess({
    label: 'temporal',
    command: options.executable,
    args: [
      ...['server', 'start-dev', '--ip', LOOPBACK, '--port', String(options.port), '--ui-port', String(options.uiPort)],
      ...['--db-filename', dbFile, '--log-level', 'warn', '--ui-disable-news-fetch'],
      ...SQLITE_PRAGMAS.flatMap((pragma) => ['--sqlite-pragma', pragma]),
      ...DYNAMIC_CONFIG.flatMap((entry) => ['--dynamic-config-value', entry]),
      ...Object.values(SEARCH_ATTRIBUTES).flatMap(({ name, type }) => ['--search-attribute', `${name}=${type}`]),
    ],
    // HOME is the data folder, so that the caller's own Temporal settings do not reach the server.
    env: { PATH: '/usr/bin:/bin', HOME: dataDir, TZ: 'UTC' },
    cwd: dataDir,
    logFile: join(dataDir, 'logs', 'temporal.log'),
    ...(options.onSpawn === undefined ? {} : { onSpawn: options.onSpawn }),
  });
  const address = `${LOOPBACK}:${options.port}`;
  const problem = await waitUntilReady({ process, address, uiPort: options.uiPort });
  if (problem !== undefined) {
    await process.stop();
    throw new InnkeeperError('TEMPORAL_UNAVAILABLE', `Temporal did not start: ${problem}\n${process.logTail()}`);
  }
  return {
    address,
    uiUrl: `http://${LOOPBACK}:${options.uiPort}`,
    process,
    stop: async () => void (await process.stop({ graceMs: STOP_GRACE_MS })),
  };
}

/** Undefined when the server answers; otherwise what went wrong. */
async function waitUntilReady(of: {
  process: RunningProcess;
  address: string;
  uiPort: number;
}): Promise<string | undefined> {
  const deadline = Date.now() + START_MS_MAX;
  let last = 'it did not answer in time';
  while (Date.now() < deadline) {
    if (of.process.hasExited()) return 'it ended at once';
    try {
      await describeDefaultNamespace(of.address);
      await connectOnce(of.uiPort);
      return undefined;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
      await delay(POLL_MS);
    }
  }
  return last;
}

async function describeDefaultNamespace(address: string): Promise<void> {
  const connection = await Connection.connect({ address, connectTimeout: 1_000 });
  try {
    await connection.workflowService.describeNamespace({ namespace: 'default' });
  } finally {
    await connection.close();
  }
}

function connectOnce(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: LOOPBACK });
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', reject);
  });
}
