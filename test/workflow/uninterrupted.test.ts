/**
 * Goal: a lane does only what its own code says, also where another one of its worker was at work for so long that the SDK would
 * have interrupted it, as it does in a process that thaws. Method: a workflow that blocks the thread for longer than the SDK's 5 s and
 * leaves a timer to be started later; one that waits behind it. What both did is read in their histories.
 */
import { fileURLToPath } from 'node:url';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { expect, it } from 'vitest';
import { uninterrupted } from '../../src/worker/uninterrupted.js';
import { testTemporal } from '../support/servers.js';
import { waitFor } from '../support/wait-for.js';
import { poke, TIMER_SECONDS } from './support/blocking-workflows.js';
import { count, failedTasks, ofType, readHistory, type HistoryEvent } from './support/history.js';
import { bundleWorkflows } from './support/lane-harness.js';

const WORKFLOWS = fileURLToPath(new URL('./support/blocking-workflows.ts', import.meta.url));
/** Longer than the SDK would let it by itself. */
const BLOCKED_MS = 6_000;

/** How long the run's latest task was at work, ms, by the server's clock. */
function lastTaskMs(events: readonly HistoryEvent[]): number {
  const [started = 0, completed = 0] = ['workflowTaskStarted', 'workflowTaskCompleted'].map((name) => {
    const time = ofType(events, name).at(-1)?.eventTime;
    return Number(time?.seconds ?? 0) * 1_000 + (time?.nanos ?? 0) / 1e6;
  });
  return completed - started;
}

it('a workflow that blocks its thread is not interrupted, and does nothing in the name of another', async () => {
  const { address } = await testTemporal();
  const [connection, native, workflowBundle] = await Promise.all([
    Connection.connect({ address }),
    NativeConnection.connect({ address }),
    bundleWorkflows(WORKFLOWS, undefined, []),
  ]);
  const client = new Client({ connection });
  const taskQueue = `blocking-${process.pid}`;
  const worker = await Worker.create({ connection: native, taskQueue, workflowBundle, ...uninterrupted });
  const running = worker.run();
  const start = (type: string): Promise<WorkflowHandle> =>
    client.workflow.start(type, { taskQueue, workflowId: `${taskQueue}/${type}`, workflowTaskTimeout: '100s' });
  const eventsOf = ({ workflowId }: WorkflowHandle): Promise<HistoryEvent[]> => readHistory(client, workflowId);
  const untilCount = (handle: WorkflowHandle, name: string, wanted: number): Promise<unknown> =>
    waitFor(`${name} ${wanted} times`, async () => count(await eventsOf(handle), name) === wanted);

  const [idles, blocks] = [await start('idles'), await start('blocks')];
  let pokes = 0;
  // How fast a loop is in a workflow is not known before.
  for (let rounds = 4_000; lastTaskMs(await eventsOf(blocks)) < BLOCKED_MS; rounds *= 2) {
    for (const handle of [idles, blocks]) await untilCount(handle, 'workflowTaskCompleted', pokes + 1);
    pokes += 1;
    await blocks.signal(poke, rounds);
    await untilCount(blocks, 'workflowTaskStarted', pokes + 1);
    await idles.signal(poke, 0);
    for (const handle of [idles, blocks]) await untilCount(handle, 'workflowTaskCompleted', pokes + 1);
  }

  const [ofIdles, ofBlocks] = [await eventsOf(idles), await eventsOf(blocks)];
  expect([...failedTasks(ofIdles), ...failedTasks(ofBlocks)]).toEqual([]);
  expect(count(ofIdles, 'timerStarted')).toBe(0);
  const timers = ofType(ofBlocks, 'timerStarted').map((event) => event.timerStartedEventAttributes?.startToFireTimeout);
  expect(timers.map((timeout) => Number(timeout?.seconds))).toEqual(Array.from({ length: pokes }, () => TIMER_SECONDS));
  await Promise.all([idles.terminate(), blocks.terminate()]);
  worker.shutdown();
  await running;
  await native.close();
  await connection.close();
}, 170_000);
