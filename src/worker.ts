/** The worker process: settings -> parts -> run. SIGTERM and SIGINT drain it. */
import { fileURLToPath } from 'node:url';
import { Runtime, Worker, type NativeConnection } from '@temporalio/worker';
import { createLanes } from './client/lanes.js';
import { currentEnvironment, loadConfig } from './config.js';
import { HEARTBEAT_THROTTLE_MS_MAX, HEARTBEAT_TIMEOUT_MS, WORKFLOW_TASKS_MAX } from './contracts/limits.js';
import { createLogger } from './log.js';
import { failStart } from './worker/fail-start.js';
import { createParts, type WorkerParts } from './worker/parts.js';
import { keepReconcileSchedule } from './worker/reconcile-schedule.js';
import { registerSearchAttributes } from './worker/search-attributes.js';
import { connectToTemporal, toClient } from './worker/temporal-connection.js';
import { toRuntimeLogger } from './worker/runtime-logger.js';
import { laneSinks } from './worker/traces.js';
import { uninterrupted } from './worker/uninterrupted.js';
import { startWatch } from './worker/watch.js';

async function main(): Promise<void> {
  const config = loadConfig(currentEnvironment());
  const log = createLogger({ level: config.logLevel, part: 'worker' });
  const { temporalMetricsAddress: bindAddress } = config.worker;
  Runtime.install({
    logger: toRuntimeLogger(log),
    shutdownSignals: ['SIGTERM', 'SIGINT'],
    ...(bindAddress === undefined ? {} : { telemetryOptions: { metrics: { prometheus: { bindAddress } } } }),
  });
  const watch = await startWatch(config, log);
  let parts: WorkerParts | undefined;
  let connection: NativeConnection | undefined;
  try {
    parts = createParts(config, log, watch.parts);
    await parts.assertReady();
    connection = await connectToTemporal(config.temporal);
    const { namespace, taskQueue } = config.temporal;
    await registerSearchAttributes(connection, { namespace, log });
    const client = toClient(connection, namespace);
    await keepReconcileSchedule(client, { taskQueue, intervalMs: config.reconcile.intervalMs, log });
    const worker = await Worker.create({
      connection,
      namespace,
      taskQueue,
      workflowBundle: { codePath: fileURLToPath(new URL('./workflow-bundle.js', import.meta.url)) },
      dataConverter: {
        payloadConverterPath: fileURLToPath(new URL('./workflows/payload-converter.js', import.meta.url)),
      },
      activities: parts.activities(createLanes({ client, taskQueue })),
      interceptors: { activity: watch.activities },
      sinks: laneSinks(),
      ...uninterrupted,
      // An idle lane in the cache takes about 150 KB (measured, SDK 1.24); the default goes by memory and ignores containers.
      maxCachedWorkflows: config.worker.maxCachedWorkflows,
      // Replays share one thread: were it given more at once, all would be late for the 10 s that a task may take (docs/adr/0010).
      maxConcurrentWorkflowTaskExecutions: WORKFLOW_TASKS_MAX,
      // Half of them for lanes that no worker has in its cache: where the other half were all, those would starve.
      nonStickyToStickyPollRatio: 0.5,
      // Running commands hold a slot each; they wait more than they work.
      maxConcurrentActivityTaskExecutions: 500,
      // The default is 0, which cancels every activity at once.
      shutdownGraceTime: config.worker.shutdownGraceMs,
      shutdownForceTime: config.worker.shutdownGraceMs + HEARTBEAT_TIMEOUT_MS,
      // Cancellations come back with heartbeats, and one that is late by a timeout costs a whole attempt.
      maxHeartbeatThrottleInterval: HEARTBEAT_THROTTLE_MS_MAX,
      // After a kill the lane's next task waits this long for the dead worker's cache.
      stickyQueueScheduleToStartTimeout: '3s',
    });
    log.info({ taskQueue }, 'worker runs');
    // For whoever started this process; everything else goes to stderr.
    process.stdout.write(`${JSON.stringify({ workerState: 'running', pid: process.pid })}\n`);
    await worker.run();
  } finally {
    await connection?.close();
    await parts?.close();
    await watch.close();
  }
  log.info('worker drained');
}

main().catch(failStart);
