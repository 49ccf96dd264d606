/**
 * Goal: docs/versioning.md works: a release that changes the order of the workflow's commands behind a patch marker takes over lanes
 * that sleep and lanes that are in mid turn, and both end right. Method: two bundles, today's code and a copy with a change of the
 * search attributes' writes (one command each instead of one for all); the worker is replaced while one lane sleeps and another waits
 * for a command. The same change without a marker is refused by the history of the lane in mid turn.
 */
import { Worker, type WorkflowBundle } from '@temporalio/worker';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { testTemporal } from '../support/servers.js';
import { waitFor } from '../support/wait-for.js';
import { bundleChanged } from './support/changed-bundle.js';
import { count, failedTasks, type HistoryEvent } from './support/history.js';
import { startLaneHarness, type LaneHarness, type TestLane } from './support/lane-harness.js';

const FILE = 'board.ts';
const OLD_ORDER = 'if (pairs.length > 0) upsertSearchAttributes(pairs);';
const NEW_ORDER = 'for (const pair of pairs) upsertSearchAttributes([pair]);';
const PATCH = 'one-attribute-each-2026-12';
const WITH_MARKER = `if (pairs.length > 0 && patched('${PATCH}')) {
        ${NEW_ORDER}
      } else {
        ${OLD_ORDER}
      }`;
const IMPORTED = 'import { setCurrentDetails,';

let harness: LaneHarness;
let patched: WorkflowBundle;
let unpatched: WorkflowBundle;
beforeAll(async () => {
  harness = await startLaneHarness((await testTemporal()).address);
  patched = await bundleChanged(FILE, { [OLD_ORDER]: WITH_MARKER, [IMPORTED]: `${IMPORTED} patched,` });
  unpatched = await bundleChanged(FILE, { [OLD_ORDER]: NEW_ORDER });
});
afterAll(async () => {
  expect(harness.violations()).toEqual([]);
  await harness.close();
});

async function fallAsleep(lane: TestLane): Promise<string> {
  const { runId: before } = await lane.handle.describe();
  await lane.send('sleepNow');
  await lane.reaches('sleep', (state) => state.phase === 'asleep');
  await waitFor('a fresh run', async () => (await lane.handle.describe()).runId !== before);
  await waitFor('its first task', async () => count(await lane.events(), 'workflowTaskCompleted') > 0);
  return (await lane.handle.describe()).runId;
}

function patchMarkers(events: readonly HistoryEvent[]): number {
  const names = events.map(({ markerRecordedEventAttributes: marker }) => marker?.markerName);
  return names.filter((name) => name === 'core_patch').length;
}

/** Why this code does not accept what the lane has done so far; undefined where it does. */
async function refusalOf(workflowBundle: WorkflowBundle, lane: TestLane): Promise<string | undefined> {
  const history = await lane.handle.fetchHistory();
  const { workflowId } = lane;
  for await (const { error } of Worker.runReplayHistories({ workflowBundle }, [{ workflowId, history }]))
    return error?.message;
  throw new Error('nothing was replayed');
}

it('takes over a lane that sleeps and one in mid turn, by a marker; without it the latter would be stranded', async () => {
  const sleeper = await harness.warmLane();
  const asleepIn = await fallAsleep(sleeper);
  const worker = await harness.warmLane();
  const command = worker.record.hold('act');
  await worker.submit('in mid turn', [['bash'], ['bash', 'read_file']]);
  await worker.submit('waiting', [['bash']]);
  await command.reached;

  expect(await refusalOf(unpatched, worker)).toMatch(/nondeterminism|TMPRL1100/i);
  expect(await refusalOf(patched, worker)).toBeUndefined();
  const before = (await worker.events()).length;
  await harness.deploy(patched);
  command.release();

  for (const turnId of ['in mid turn', 'waiting']) expect((await worker.ended(turnId)).state).toBe('completed');
  await worker.rests();
  const calls = worker.record.turns.flatMap(({ steps }) => steps.flat());
  expect(calls.map(({ runs, outcome }) => [runs, outcome])).toEqual(calls.map(() => [1, 'exited']));
  const events = await worker.events();
  // What was decided before the deploy keeps its order, what came after has the new one.
  expect([patchMarkers(events.slice(0, before)), patchMarkers(events)]).toEqual([0, 1]);
  expect(failedTasks(events)).toEqual([]);

  await sleeper.submit('after the deploy', [['bash']]);
  expect((await sleeper.ended('after the deploy')).state).toBe('completed');
  await sleeper.rests();
  expect((await sleeper.handle.describe()).runId).toBe(asleepIn);
  expect(patchMarkers(await sleeper.events())).toBe(1);
  expect(failedTasks(await sleeper.events())).toEqual([]);
  await fallAsleep(sleeper);
  await fallAsleep(worker);
  for (const lane of [sleeper, worker]) expect((await lane.state()).lastErrorCode).toBeNull();
});
