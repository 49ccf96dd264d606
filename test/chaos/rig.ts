/**
 * Everything that a run needs, as real processes on the loopback address: Postgres and Temporal (each may be killed and started again
 * on its port and data), the emulator, two gateways, and, before Postgres, a proxy for the workers and one for the clients.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { openChildList } from '../../src/dev/child-list.js';
import { readTools } from '../../src/dev/paths.js';
import { pickFreePorts } from '../../src/dev/ports.js';
import { startPostgres } from '../../src/dev/postgres.js';
import { startTemporal } from '../../src/dev/temporal.js';
import { silentLogger } from '../../src/log.js';
import { migrate } from '../../src/store/migrate.js';
import { openLanes, type Lanes } from '../e2e/support/lane-handle.js';
import { startStack, type Stack } from '../support/stack.js';
import { startGateways, type Gateways } from './gateways.js';
import { startPostgresProxy, type PostgresProxy } from './postgres-proxy.js';
import { surely } from './surely.js';

/** Pauses and limits short enough that a fault costs a run seconds and not minutes. */
const WORKER_ENV = {
  LOG_LEVEL: 'info',
  IDLE_MS: '6000',
  MACHINE_POLL_MS: '40',
  MACHINE_REQUEST_TIMEOUT_MS: '1000',
  MACHINE_WAKE_TIMEOUT_MS: '3000',
  MODEL_FIRST_DELTA_TIMEOUT_MS: '1500',
  OPEN_TURNS_MAX: '50',
  // The reconciler is at work beside the load, and is struck as everything else.
  RECONCILE_INTERVAL_MS: '5000',
  RECONCILE_QUIET_MS: '2000',
  MACHINE_CREATE_TIMEOUT_MS: '20000',
  RECONCILE_GRACE_MS: '20001',
};
const EMULATOR_SETTINGS = { createMs: 50, wakeMs: 30, sleepMs: 20, destroyMs: 20, keepsLostHomes: true };

export interface Rig {
  readonly stack: Stack;
  readonly dataDir: string;
  readonly workerProxy: PostgresProxy;
  readonly clientProxy: PostgresProxy;
  /** Through the clients' proxy, as a backend. */
  readonly gateways: Gateways;
  /** An operator's Temporal client. */
  readonly lanes: Lanes;
  readonly pids: () => { readonly temporal: number; readonly postgres: number };
  /** Past the proxies; waits while Postgres is away. */
  sql<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]>;
  restartPostgres(): Promise<void>;
  restartTemporal(): Promise<void>;
  restartEmulator(): Promise<void>;
  /** Ends every process by force, at once, and removes what they left; for whoever is interrupted. */
  abandon(): void;
  stop(): Promise<void>;
}

export interface RigOptions {
  /** Leaves data and logs where they are at the end. */
  readonly keepsData: boolean;
  /** Settings of the workers, over those above. */
  readonly env?: Readonly<Record<string, string>>;
  /** Open turns that the clients take of one user. */
  readonly openTurnsMax?: number;
}

const OPEN_TURNS_MAX = 50;

const running = new Set<Rig>();

/** Ends by force what runs; for whoever is interrupted. */
export function abandonAll(): void {
  for (const rig of running) rig.abandon();
}

export async function withRig<T>(options: RigOptions, body: (rig: Rig) => Promise<T>): Promise<T> {
  const rig = await startRig(options);
  running.add(rig);
  try {
    return await body(rig);
  } finally {
    running.delete(rig);
    await rig.stop();
  }
}

async function startRig({ keepsData, env = {}, openTurnsMax = OPEN_TURNS_MAX }: RigOptions): Promise<Rig> {
  const dataDir = mkdtempSync(join(tmpdir(), 'innkeeper-chaos-'));
  const children = openChildList(join(dataDir, 'children.json'));
  const onSpawn = children.add;
  const [postgresPort = 0, port = 0, uiPort = 0] = await pickFreePorts(3);
  const runPostgres = () => startPostgres({ dataDir, port: postgresPort, onSpawn });
  const runTemporal = () =>
    startTemporal({ executable: readTools().temporal ?? 'temporal', dataDir, port, uiPort, onSpawn });
  const stops: (() => Promise<unknown>)[] = [
    async () => keepsData || rmSync(dataDir, { recursive: true, force: true }),
    () => children.clear(),
  ];
  const stop = async (): Promise<void> => {
    for (const end of stops.splice(0).toReversed()) await end();
  };
  try {
    let postgres = await runPostgres();
    stops.push(() => postgres.stop());
    await migrate({ url: postgres.url, log: silentLogger() });
    let temporal = await runTemporal();
    stops.push(() => temporal.stop());
    const [workerProxy, clientProxy] = await Promise.all([
      startPostgresProxy(postgresPort),
      startPostgresProxy(postgresPort),
    ]);
    stops.push(workerProxy.stop, clientProxy.stop);
    const pool = new pg.Pool({ connectionString: postgres.url, max: 8, application_name: 'innkeeper-chaos' });
    pool.on('error', () => undefined); // Postgres is killed on purpose: the next query opens another connection.
    stops.push(() => pool.end());
    const stack = await startStack({
      databaseUrl: workerProxy.through(postgres.url),
      temporalAddress: temporal.address,
      taskQueue: 'innkeeper',
      keepsData,
      workers: 0,
      env: { ...WORKER_ENV, ...env },
      client: { openTurnsMax },
      clientDatabaseUrl: clientProxy.through(postgres.url),
    });
    stops.push(() => stack.stop());
    await stack.emulator.call('PUT', '/_emulator/settings', EMULATOR_SETTINGS);
    const gateways = await startGateways({
      ...{ stack, databaseUrl: postgres.url },
      env: { DATABASE_URL: clientProxy.through(postgres.url), OPEN_TURNS_MAX: String(openTurnsMax) },
    });
    const lanes = await openLanes(temporal.address);
    stops.push(() => lanes.close());
    return {
      stack,
      dataDir,
      workerProxy,
      clientProxy,
      gateways,
      lanes,
      pids: () => ({ temporal: temporal.process.pid, postgres: postgres.process.pid }),
      sql: (text, values = []) => surely(async () => (await pool.query(text, values)).rows),
      async restartPostgres() {
        postgres.process.signal('SIGKILL');
        await postgres.process.exited;
        postgres = await runPostgres();
      },
      async restartTemporal() {
        temporal.process.signal('SIGKILL');
        await temporal.process.exited;
        temporal = await runTemporal();
      },
      restartEmulator: () => stack.restartEmulator(),
      abandon() {
        stack.killAll();
        children.killAll();
        for (const folder of [stack.dataDir, dataDir]) {
          if (!keepsData) rmSync(folder, { recursive: true, force: true });
        }
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
