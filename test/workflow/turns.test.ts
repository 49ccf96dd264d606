/**
 * Goal: a turn takes as few hops as the design promises, and every way it can end is the one that was asked for.
 * Method: the real workflow on the real server over scripted activities; hops and order are read from the histories.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HISTORY_EVENTS_MAX } from '../../src/contracts/limits.js';
import { testTemporal } from '../support/servers.js';
import { failedTasks, nameOf, ofType, scheduledActivities, summaryOf, type HistoryEvent } from './support/history.js';
import { startLaneHarness, type LaneHarness, type TestLane } from './support/lane-harness.js';

/** Plan of a turn that asks for one command in each of `steps` steps. */
const commands = (steps: number): string[][] => Array.from({ length: steps }, () => ['bash']);

let harness: LaneHarness;
beforeAll(async () => {
  harness = await startLaneHarness((await testTemporal()).address);
});
afterEach(() => expect(harness.violations()).toEqual([]));
afterAll(() => harness.close());

/** What the lane's history gained while a turn ran. */
async function eventsOf(lane: TestLane, plan: readonly (readonly string[])[]): Promise<HistoryEvent[]> {
  const before = (await lane.events()).length;
  await lane.submit('measured', plan);
  await lane.ended('measured');
  await lane.rests();
  return (await lane.events()).slice(before);
}

describe('hops of a turn', () => {
  it('is one activity when the model answers at once', async () => {
    const events = await eventsOf(await harness.warmLane(), []);
    expect(scheduledActivities(events)).toEqual(['think']);
  });

  it('is 2n + 1 activities with n tool calls', async () => {
    const events = await eventsOf(await harness.warmLane(), [['bash'], ['read_file'], ['write_file']]);
    expect(scheduledActivities(events)).toEqual(['think', 'act', 'think', 'act', 'think', 'act', 'think']);
  });

  it('is fewer with several calls in a step', async () => {
    const events = await eventsOf(await harness.warmLane(), [['bash', 'bash', 'bash']]);
    expect(scheduledActivities(events)).toEqual(['think', 'act', 'act', 'act', 'think']);
  });

  it('takes at most 30 events for one command on a warm machine', async () => {
    const events = await eventsOf(await harness.warmLane(), commands(1));
    expect(events.length, events.map(nameOf).join(' ')).toBeLessThanOrEqual(30);
    expect(failedTasks(events)).toEqual([]);
  });

  it('asks for the machine and the model in one workflow task', async () => {
    const lane = harness.newLane();
    await lane.submit('first', commands(1));
    await lane.ended('first');
    const scheduled = (await lane.events()).flatMap(({ activityTaskScheduledEventAttributes: it }) => it ?? []);
    const [provision, think] = scheduled.filter(({ activityType }) => activityType?.name !== 'openNextTurn');
    expect([provision?.activityType?.name, think?.activityType?.name]).toEqual(['provisionMachine', 'think']);
    expect(provision?.workflowTaskCompletedEventId).toEqual(think?.workflowTaskCompletedEventId);
  });
});

describe('bounds of a turn', () => {
  it('lets a turn of 50 steps cross a continue-as-new and runs each command once', async () => {
    const lane = harness.newLane();
    // Long enough that the last of them must roll over; 49 commands and the answer are 50 steps.
    const firstRunId = await lane.start();
    for (const turnId of ['one', 'two']) {
      await lane.submit(turnId, commands(49));
      expect(await lane.ended(turnId)).toMatchObject({ state: 'completed', code: null });
    }
    await lane.rests();
    const runs = await lane.chain(firstRunId);
    expect(runs.length).toBeGreaterThan(1);
    for (const run of runs) {
      expect(run.length).toBeLessThan(HISTORY_EVENTS_MAX + 50);
      expect(failedTasks(run)).toEqual([]);
    }
    const calls = lane.record.turns.flatMap(({ steps }) => steps.flat());
    expect(calls).toHaveLength(98);
    expect(calls.every(({ runs, outcome }) => runs === 1 && outcome === 'exited')).toBe(true);
    // The run's end cut a turn in two: its steps are spread over both, none of them twice.
    expect(lane.record.count('act')).toBe(98);
    expect(lane.record.count('think')).toBe(100);
  });

  it('ends a turn that uses all its steps as TURN_STEPS_EXCEEDED, and goes on with the next', async () => {
    const lane = harness.newLane({ stepsMax: 3 });
    await lane.submit('endless', commands(9));
    expect(await lane.ended('endless')).toMatchObject({ state: 'failed', code: 'TURN_STEPS_EXCEEDED' });
    expect(lane.record.turn('endless').steps).toHaveLength(3);
    await lane.submit('next');
    expect((await lane.ended('next')).state).toBe('completed');
  });

  it('ends a turn at its wall limit by the timer of the workflow, its command stopped', async () => {
    const lane = await harness.warmLane();
    lane.record.settings.wallMs = 500;
    const command = lane.record.hold('act');
    await lane.submit('slow', commands(1));
    await command.reached;
    expect(await lane.ended('slow')).toMatchObject({ state: 'failed', code: 'TURN_DEADLINE_EXCEEDED' });
    expect(lane.record.turn('slow').steps[0]?.[0]).toMatchObject({ runs: 1, outcome: 'cancelled' });
    const timers = ofType(await lane.events(), 'timerFired');
    expect(timers.length).toBeGreaterThan(0);
    expect(ofType(await lane.events(), 'timerStarted').map(summaryOf)).toContain('turn limit or idle check');
    await lane.submit('next');
    expect((await lane.ended('next')).state).toBe('completed');
  });
});

describe('failures of a turn', () => {
  it.each([
    ['MODEL_UNAUTHORIZED', 'think'],
    ['MODEL_REJECTED', 'think'],
    ['INTERNAL', 'think'],
    ['INTERNAL', 'act'],
    ['GUEST_CONFLICT', 'act'],
    ['PROVIDER_UNAUTHORIZED', 'act'],
  ] as const)('records %s of %s and goes on with the next turn', async (code, activity) => {
    const lane = await harness.warmLane();
    lane.record.fail(activity, code);
    await lane.submit('failing', commands(1));
    expect(await lane.ended('failing')).toMatchObject({ state: 'failed', code });
    expect((await lane.reaches('the code', (state) => state.lastErrorCode === code)).turn).toBeNull();
    await lane.submit('next', commands(1));
    expect((await lane.ended('next')).state).toBe('completed');
    expect((await lane.reaches('no code', (state) => state.lastErrorCode === null)).turnCount).toBe(3);
  });

  it('repeats a step that failed in passing, without an event for it', async () => {
    const lane = await harness.warmLane();
    lane.record.fail('think', 'MODEL_UNAVAILABLE', { isRetryable: true });
    lane.record.fail('act', 'GUEST_UNREACHABLE', { isRetryable: true });
    const events = await eventsOf(lane, commands(1));
    expect(lane.record.turn('measured').state).toBe('completed');
    expect(scheduledActivities(events)).toEqual(['think', 'act', 'think']);
  });
});

describe('a turn that admission announced', () => {
  it('is begun by a lane at rest without a look', async () => {
    const lane = await harness.warmLane();
    const before = lane.record.executions.length;
    await lane.submit('next', commands(1));
    await lane.ended('next');
    await lane.rests();
    expect(lane.record.executions.slice(before).map(({ name }) => name)).toEqual(['think', 'act', 'think']);
  });

  it('keeps to the settings as they were when it was opened', async () => {
    const lane = await harness.warmLane();
    lane.record.settings.stepsMax = 1;
    await lane.submit('next', commands(1));
    expect(await lane.ended('next')).toMatchObject({ state: 'failed', code: 'TURN_STEPS_EXCEEDED' });
  });

  it('waits behind one that the lane was not told of', async () => {
    const lane = await harness.warmLane();
    lane.record.admit('unannounced', commands(1));
    await lane.submit('next', commands(1));
    await lane.ended('next');
    await lane.rests();
    const begun = lane.record.executions.flatMap(({ name, turnKey }) => (name === 'act' ? turnKey : []));
    expect(begun.slice(-2)).toEqual([lane.record.turn('unannounced').turnKey, lane.record.turn('next').turnKey]);
    expect(lane.record.turn('unannounced')).toMatchObject({ state: 'completed' });
  });

  it('is not begun once it was cancelled', async () => {
    const lane = await harness.warmLane();
    const turn = lane.record.admit('gone', commands(1));
    lane.record.requestCancel('gone');
    await lane.send('enqueueTurn', { turnId: 'gone', admitted: { turnKey: turn.turnKey, position: turn.position } });
    await lane.submit('next');
    await lane.ended('next');
    await lane.rests();
    expect(lane.record.turn('gone')).toMatchObject({ state: 'cancelled', steps: [] });
  });

  it.each([{ turnKey: '77', position: 9 }, { turnKey: 'x', position: 1 }, { turnKey: '1000' }, 'nonsense', null])(
    'stops nothing where it is not one: %j',
    async (admitted) => {
      const lane = await harness.warmLane();
      await lane.send('enqueueTurn', { turnId: 'forged', admitted });
      await lane.submit('next', commands(1));
      expect((await lane.ended('next')).state).toBe('completed');
      lane.record.violations.splice(0); // A key of nobody is refused by Postgres, and noted by the script.
    },
  );

  it('ends once, whether its first step is tried again or not', async () => {
    const lane = await harness.warmLane();
    lane.record.fail('think', 'MODEL_UNAVAILABLE', { isRetryable: true });
    await lane.submit('again', commands(1));
    expect(await lane.ended('again')).toMatchObject({ state: 'completed' });
    expect(lane.record.turn('again').steps.flat()).toMatchObject([{ runs: 1 }]);
  });
});

describe('turns that are announced one upon another', () => {
  it('are all begun, in order and once, whenever the announcements arrive', async () => {
    const lane = await harness.warmLane();
    const first = lane.record.hold('act');
    await lane.submit('one', commands(1));
    await first.reached;
    const one = lane.record.turn('one');
    // The first one's own comes again while it runs; the next two come behind the end of its last look at the queue.
    await lane.send('enqueueTurn', { turnId: 'one', admitted: { turnKey: one.turnKey, position: one.position } });
    for (const turnId of ['two', 'three']) await lane.submit(turnId, commands(1));
    first.release();
    await lane.ended('three');
    await lane.rests();
    const begun = lane.record.executions.flatMap(({ name, turnKey }) => (name === 'act' ? turnKey : []));
    expect(begun.slice(-3)).toEqual(['one', 'two', 'three'].map((turnId) => lane.record.turn(turnId).turnKey));
  });
});
