/**
 * Goal: no failure of any activity fails the workflow, or makes it spin: while it lasts a lane spends a bounded number of events,
 * and when it is over the lane goes on.
 * Method: each activity fails for good for a while; the events are counted once the lane has come to a pause.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../src/contracts/errors.js';
import { testTemporal } from '../support/servers.js';
import { waitFor } from '../support/wait-for.js';
import { failedTasks, nameOf, ofType, summaryOf } from './support/history.js';
import type { ActivityName } from './support/lane-record.js';
import { startLaneHarness, type LaneHarness, type TestLane } from './support/lane-harness.js';

/** Two tries, then a pause: more events than this would be a loop. */
const EVENTS_MAX = 120;

let harness: LaneHarness;
beforeAll(async () => {
  harness = await startLaneHarness((await testTemporal()).address);
});
afterAll(async () => {
  expect(harness.violations()).toEqual([]);
  await harness.close();
});

/** Waits until the lane has nothing left but a timer: its pause. Answers the events so far. */
async function pauses(lane: TestLane, summary: string): Promise<number> {
  return await waitFor(`the pause "${summary}"`, async () => {
    const events = await lane.events();
    const last = events.findLast((event) => nameOf(event) !== 'workflowTaskCompleted');
    const isPause = ofType(events, 'timerStarted').some((event) => summaryOf(event) === summary);
    return isPause && last !== undefined && !nameOf(last).startsWith('workflowTask') ? events.length : undefined;
  });
}

async function isRunning(lane: TestLane): Promise<boolean> {
  return (await lane.handle.describe()).status.name === 'RUNNING';
}

// Side by side: most of a test is the lane's own pause.
describe.concurrent('an activity that fails for good', () => {
  it.each(['INTERNAL', 'STORE_NOT_MIGRATED', 'STALE_LANE'] satisfies ErrorCode[])(
    'openNextTurn with %s: the lane pauses, then takes the turn',
    async (code) => {
      const lane = await harness.warmLane();
      lane.record.fail('openNextTurn', code, { times: 1_000 });
      const turn = lane.record.admit('t', [['bash']]);
      await lane.send('enqueueTurn', { turnId: 't' });
      expect(await pauses(lane, 'look again after an error')).toBeLessThan(EVENTS_MAX);
      expect(lane.record.count('openNextTurn')).toBeLessThan(10);
      expect((await lane.state()).lastErrorCode).toBe(code);
      lane.record.heal('openNextTurn');
      await lane.ended('t');
      expect(turn.state).toBe('completed');
      expect(failedTasks(await lane.events())).toEqual([]);
    },
  );

  it.each([
    ['closeTurn', 'INTERNAL'],
    ['think', 'STALE_LANE'],
    ['think', 'STALE_TRY'],
    ['act', 'STALE_LANE'],
  ] as const)('%s with %s: the turn stays open, the lane pauses, then ends it', async (name, code) => {
    const lane = await harness.warmLane();
    lane.record.fail(name, code, { times: 1_000 });
    if (name === 'closeTurn') lane.record.fail('think', 'MODEL_REJECTED', { times: 1_000 });
    await lane.submit('t', [['bash']]);
    expect(await pauses(lane, 'look again after an error')).toBeLessThan(EVENTS_MAX);
    expect(lane.record.turn('t').state).toBe('running');
    lane.record.heal(name);
    lane.record.heal('think');
    expect((await lane.ended('t')).state).toBe('completed');
  });

  it.each(['PROVIDER_UNAUTHORIZED', 'INTERNAL'] satisfies ErrorCode[])(
    'sleepMachine with %s: the lane pauses, and a turn runs meanwhile',
    async (code) => {
      const lane = await harness.warmLane();
      lane.record.settings.idleMs = 100;
      lane.record.fail('sleepMachine', code, { times: 3 });
      await lane.submit('t');
      await lane.ended('t');
      await waitFor('two tries', () => lane.record.count('sleepMachine') === 2);
      await lane.reaches('the code', (state) => state.lastErrorCode === code);
      expect((await lane.events()).length).toBeLessThan(EVENTS_MAX);
      expect(lane.record.count('sleepMachine')).toBe(2);
      lane.record.heal('sleepMachine');
      await lane.submit('next', [['bash']]);
      expect((await lane.ended('next')).state).toBe('completed');
    },
  );

  it.each(['PROVIDER_UNAUTHORIZED', 'INTERNAL'] satisfies ErrorCode[])(
    'destroyMachine with %s: the lane pauses, then destroys',
    async (code) => {
      const lane = await harness.warmLane();
      lane.record.fail('destroyMachine', code, { times: 1_000 });
      await lane.send('destroy');
      expect(await pauses(lane, 'destroy again after an error')).toBeLessThan(EVENTS_MAX);
      expect(lane.record.count('destroyMachine')).toBe(2);
      expect(await lane.state()).toMatchObject({ phase: 'destroying', lastErrorCode: code });
      lane.record.heal('destroyMachine');
      await lane.handle.result();
      expect(lane.record.userState).toBe('destroyed');
    },
  );

  it.each(['admitPrompt', 'recordCancel', 'recordRejection'] satisfies ActivityName[])(
    '%s: the lane pauses, then stores what it kept',
    async (name) => {
      const lane = await harness.warmLane();
      lane.record.fail(name, 'INTERNAL', { times: 1_000 });
      if (name === 'admitPrompt') await lane.send('enqueueTurn', { turnId: 't', prompt: 'hello' });
      if (name === 'recordCancel') await lane.send('cancelTurn', { turnId: 'nobody' });
      if (name === 'recordRejection') await lane.send('enqueueTurn', 7);
      expect(await pauses(lane, 'store messages again after an error')).toBeLessThan(EVENTS_MAX);
      expect(lane.record.count(name)).toBeLessThan(5);
      lane.record.heal(name);
      await waitFor('what it kept', () => lane.record.find('t') ?? lane.record.rejections[0]);
    },
  );

  it.each(['markMachineLost', 'wakeMachine'] satisfies ActivityName[])('%s: the lane lives on', async (name) => {
    const lane = await harness.warmLane();
    await lane.send('sleepNow');
    await lane.reaches('sleep', (state) => state.phase === 'asleep');
    lane.record.fail(name, 'INTERNAL', { times: 2 });
    if (name === 'markMachineLost') await lane.send('machineLost', { generation: 1 });
    else await lane.send('wakeNow');
    await lane.reaches('the code', (state) => state.lastErrorCode === 'INTERNAL');
    expect((await lane.events()).length).toBeLessThan(EVENTS_MAX);
    lane.record.heal(name);
    await lane.submit('t', [['bash']]);
    expect((await lane.ended('t')).state).toBe('completed');
    expect(await isRunning(lane)).toBe(true);
  });
});
