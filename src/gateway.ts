/** The gateway's process: HTTP in front of Postgres and Temporal, any number of replicas. */
import { fileURLToPath } from 'node:url';
import { createClient } from './client.js';
import { currentEnvironment, loadGatewayConfig, type GatewayConfig } from './config.js';
import * as limits from './contracts/limits.js';
import { laneUrls } from './gateway/lane-urls.js';
import { createGatewayMetrics } from './gateway/metrics.js';
import { createGateway } from './gateway/server.js';
import { createUserTokens } from './gateway/user-tokens.js';
import { createLogger, type Logger } from './log.js';
import { createDedalusProvider } from './machines/dedalus/provider.js';
import { newIdempotencyKey } from './machines/idempotency-key.js';
import type { MachineAccess } from './machines/provider.js';
import { isMigrated } from './store/migrate.js';
import { createPool } from './store/pool.js';
import { serveMetrics } from './telemetry/metrics-server.js';
import { startTracing } from './telemetry/tracing.js';
import { toClientOptions } from './worker/connection-options.js';
import { failStart } from './worker/fail-start.js';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

async function main(): Promise<void> {
  const config = loadGatewayConfig(currentEnvironment());
  const log = createLogger({ level: config.logLevel, part: 'gateway' });
  const tracing = await startTracing(config.tracing, { service: 'innkeeper-gateway', log });
  const store = createPool({
    url: config.database.url,
    poolMax: config.database.poolMax,
    applicationName: 'innkeeper-gateway',
  });
  const client = createClient(toClientOptions(config));
  const { host, port, userTokens, rates, origins, temporalUiUrl } = config.gateway;
  const tokens = userTokens === undefined ? undefined : createUserTokens(userTokens);
  const machines = config.machines && createMachineAccess(config.machines, log);
  const metrics = config.metrics && createGatewayMetrics({ store });
  const metricsServer = config.metrics && metrics && (await serveMetrics(metrics.registry, config.metrics));
  if (metricsServer !== undefined) log.info({ url: metricsServer.url }, 'metrics are served');
  const app = await createGateway({
    ...{
      client: metrics?.countSubmissions(client) ?? client,
      store,
      prices: config.prices,
      machines,
      metrics,
      tokens,
      rates,
      origins,
      log,
    },
    defaults: config.turn,
    streams: {
      ...{ max: limits.STREAMS_MAX, ofUserMax: limits.STREAMS_OF_USER_MAX },
      ...{ heartbeatMs: limits.STREAM_HEARTBEAT_MS, stallMs: limits.STREAM_STALL_MS_MAX },
    },
    holds: { answerMs: limits.ANSWER_HOLD_MS_MAX, cancelMs: limits.CANCEL_HOLD_MS_MAX },
    terminals: {
      ...{ max: limits.TERMINALS_MAX, openMs: limits.TERMINAL_OPEN_MS_MAX, leaveMs: limits.TERMINAL_LEAVE_MS_MAX },
      ...{ graceMs: limits.TERMINAL_GRACE_MS, quietMs: limits.TERMINAL_QUIET_MS_MAX },
      ...{ heartbeatMs: limits.STREAM_HEARTBEAT_MS, stallMs: limits.STREAM_STALL_MS_MAX },
      unsentBytesMax: limits.TERMINAL_UNSENT_BYTES_MAX,
    },
    closeMs: limits.CLOSE_MS_MAX,
    pageFolder: fileURLToPath(new URL('./web', import.meta.url)),
    laneUrlOf: laneUrls({ temporalUiUrl, namespace: config.temporal.namespace }),
    readiness: async () => {
      const [postgres, temporal, tokenKeys] = await Promise.all([
        isMigrated(store).catch(() => false),
        client.isTemporalReachable(),
        tokens?.hasKeys(),
      ]);
      return { postgres, temporal, ...(tokenKeys === undefined ? {} : { tokenKeys }) };
    },
  });
  const stopped = new Promise<void>((resolve) => {
    for (const signal of SIGNALS) process.once(signal, () => resolve());
  });
  try {
    const address = await app.listen({ host, port });
    log.info({ address }, 'gateway runs');
    // For whoever started this process; everything else goes to stderr.
    process.stdout.write(`${JSON.stringify({ gatewayState: 'running', pid: process.pid, gatewayUrl: address })}\n`);
    await stopped;
  } finally {
    // Requests under way are answered; streams end, and their readers resume elsewhere.
    await app.close();
    await metricsServer?.close();
    await client.close();
    await store.end();
    await tracing.close();
  }
  log.info('gateway drained');
}

/** No more of the provider than the gateway may use: it can make, wake and destroy nothing. */
function createMachineAccess(settings: NonNullable<GatewayConfig['machines']>, log: Logger): MachineAccess {
  const { hasTerminals, execute, openTerminal } = createDedalusProvider({
    ...settings,
    newKey: newIdempotencyKey,
    log: log.child({ part: 'machines' }),
  });
  return { hasTerminals, execute, openTerminal };
}

main().catch(failStart);
