/**
 * Goal: a run that went past today's bound of events under the release before goes on under this one. Method: a copy of the code without
 * today's bound takes a lane past it; then the worker is replaced by today's, which has to replay that.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HISTORY_EVENTS_MAX } from '../../src/contracts/limits.js';
import { testTemporal } from '../support/servers.js';
import { bundleChanged } from './support/changed-bundle.js';
import { failedTasks } from './support/history.js';
import { bundleWorkflows, startLaneHarness, type LaneHarness } from './support/lane-harness.js';

const TODAY = "return historyLength >= HISTORY_EVENTS_MAX && patched('shorter-runs-2026-11');";
const COMMANDS = Array.from({ length: 49 }, () => ['bash']);

let harness: LaneHarness;
beforeAll(async () => {
  harness = await startLaneHarness((await testTemporal()).address);
});
afterAll(async () => {
  expect(harness.violations()).toEqual([]);
  await harness.close();
});

it('a run that is longer than today allows is taken over as it is', async () => {
  await harness.deploy(await bundleChanged('lane.ts', { [TODAY]: 'return false;' }));
  const lane = harness.newLane();
  const runId = await lane.start();
  await lane.submit('long', COMMANDS);
  expect(await lane.ended('long')).toMatchObject({ state: 'completed' });
  await lane.rests();
  expect((await lane.events(runId)).length).toBeGreaterThan(HISTORY_EVENTS_MAX);
  expect((await lane.handle.describe()).runId).toBe(runId);

  await harness.deploy(await bundleWorkflows());
  await lane.submit('next', [['bash']]);
  expect(await lane.ended('next')).toMatchObject({ state: 'completed' });
  await lane.rests();
  for (const run of await lane.chain(runId)) expect(failedTasks(run)).toEqual([]);
});
