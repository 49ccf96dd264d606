/**
 * Goal: a cancel ends one turn at once, whatever that turn is doing, and nothing else.
 * Method: holds an activity in mid flight, cancels, and reads from the history what was scheduled when.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { testTemporal } from '../support/servers.js';
import { waitFor } from '../support/wait-for.js';
import { failedTasks, nameOf, scheduledEffects } from './support/history.js';
import { startLaneHarness, type LaneHarness, type TestLane } from './support/lane-harness.js';

let harness: LaneHarness;
beforeAll(async () => {
  harness = await startLaneHarness((await testTemporal()).address);
});
afterEach(() => expect(harness.violations()).toEqual([]));
afterAll(() => harness.close());

/** As the client library cancels: the record first, then the signal. */
async function cancel(lane: TestLane, turnId: string): Promise<void> {
  lane.record.requestCancel(turnId);
  await lane.send('cancelTurn', { turnId });
}

async function goesOn(lane: TestLane): Promise<void> {
  await lane.submit('afterwards', [['bash']]);
  expect((await lane.ended('afterwards')).state).toBe('completed');
  expect(failedTasks(await lane.events())).toEqual([]);
}

describe('cancel', () => {
  it('stops a running command at once, and closes the turn after it is over', async () => {
    const lane = await harness.warmLane();
    const command = lane.record.hold('act');
    const turn = await lane.submit('t', [['bash'], ['bash']]);
    await command.reached;
    await cancel(lane, 't');
    expect(await lane.ended('t')).toMatchObject({ state: 'cancelled', code: 'CANCELLED' });
    expect(turn.steps).toHaveLength(1);
    expect(turn.steps[0]?.[0]).toMatchObject({ runs: 1, outcome: 'cancelled' });

    const events = await lane.events();
    // The stop and the request to cancel the activity leave the lane in the very workflow task that heard the signal.
    const stop = events.find(
      (event) => event.activityTaskScheduledEventAttributes?.activityType?.name === 'stopCommand',
    );
    const request = events.find((event) => nameOf(event) === 'activityTaskCancelRequested');
    expect(request?.activityTaskCancelRequestedEventAttributes?.workflowTaskCompletedEventId).toEqual(
      stop?.activityTaskScheduledEventAttributes?.workflowTaskCompletedEventId,
    );
    const order = lane.record.executions.map(({ name }) => name).filter((name) => name !== 'recordCancel');
    expect(order.indexOf('closeTurn')).toBeGreaterThan(order.indexOf('stopCommand'));
    await goesOn(lane);
  });

  it('stops once more what a late worker sent behind the first stop, and only then closes the turn', async () => {
    const lane = await harness.warmLane();
    const command = lane.record.hold('act');
    const turn = await lane.submit('t', [['bash', 'bash']]);
    await command.reached;
    lane.record.fail('closeTurn', 'STORE_UNAVAILABLE', { times: 1_000, isRetryable: true });
    await cancel(lane, 't');
    await waitFor('the first stop is over', () => lane.record.count('closeTurn') > 0);
    const late = turn.steps[0]?.[1];
    Object.assign(late ?? {}, { isSubmitted: true, runs: 1 });
    lane.record.heal('closeTurn');
    expect(await lane.ended('t')).toMatchObject({ state: 'cancelled', code: 'CANCELLED' });
    expect(late).toMatchObject({ runs: 1, outcome: 'cancelled' });
    expect(lane.record.count('stopCommand')).toBe(2);
    await goesOn(lane);
  });

  it('ends a turn that thinks, without touching the machine', async () => {
    const lane = await harness.warmLane();
    const thought = lane.record.hold('think');
    await lane.submit('t', [['bash']]);
    await thought.reached;
    await cancel(lane, 't');
    expect(await lane.ended('t')).toMatchObject({ state: 'cancelled', code: 'CANCELLED' });
    await lane.reaches('rest', (state) => state.turn === null);
    expect(lane.record.count('stopCommand')).toBe(0);
    thought.release();
    await goesOn(lane);
  });

  it('ends a turn that waits for its machine, and lets the machine come', async () => {
    const lane = harness.newLane();
    const creation = lane.record.hold('provisionMachine');
    await lane.submit('t', [['bash']]);
    await creation.reached;
    await waitFor('the first answer', () => lane.record.turn('t').steps.length === 1);
    await cancel(lane, 't');
    expect((await lane.ended('t')).state).toBe('cancelled');
    creation.release();
    await lane.reaches('the machine', (state) => state.phase === 'ready');
    expect(lane.record.turn('t').steps[0]?.[0]).toMatchObject({ runs: 0 });
    await goesOn(lane);
    expect(lane.record.count('provisionMachine')).toBe(1);
  });

  it('of a waiting turn leaves the running one and the rest of the queue alone', async () => {
    const lane = await harness.warmLane();
    const command = lane.record.hold('act');
    await lane.submit('running', [['bash']]);
    await command.reached;
    await lane.submit('waiting');
    await lane.submit('last');
    // By signal alone: the lane itself stores it.
    await lane.send('cancelTurn', { turnId: 'waiting' });
    expect((await lane.ended('waiting')).state).toBe('cancelled');
    expect(lane.record.turn('running').state).toBe('running');
    command.release();
    expect((await lane.ended('running')).state).toBe('completed');
    expect((await lane.ended('last')).state).toBe('completed');
    expect(lane.record.executions.some(({ turnKey }) => turnKey === lane.record.turn('waiting').turnKey)).toBe(false);
  });

  it('by signal alone ends a running turn too', async () => {
    const lane = await harness.warmLane();
    const command = lane.record.hold('act');
    await lane.submit('t', [['bash']]);
    await command.reached;
    await lane.send('cancelTurn', { turnId: 't' });
    expect((await lane.ended('t')).state).toBe('cancelled');
    expect(lane.record.turn('t').steps[0]?.[0]?.outcome).toBe('cancelled');
    await goesOn(lane);
  });

  it('sent together with its turn ends the turn before it acts', async () => {
    const lane = await harness.warmLane();
    lane.record.admit('t', [['bash']]);
    const look = lane.record.hold('openNextTurn');
    await lane.send('enqueueTurn', { turnId: 't' });
    await look.reached;
    await lane.send('cancelTurn', { turnId: 't' });
    look.release();
    expect((await lane.ended('t')).state).toBe('cancelled');
    await goesOn(lane);
  });

  it('of an unknown turn is refused on record', async () => {
    const lane = await harness.warmLane();
    await lane.send('cancelTurn', { turnId: 'nobody' });
    await waitFor('the refusal', () => lane.record.rejections.length === 1);
    expect(lane.record.rejections[0]).toMatchObject({ signal: 'cancelTurn', code: 'TURN_UNKNOWN' });
    await goesOn(lane);
  });

  it('of a turn that is over does nothing, and twice is once', async () => {
    const lane = await harness.warmLane();
    const before = scheduledEffects(await lane.events()).length;
    await cancel(lane, 'first');
    await cancel(lane, 'first');
    await goesOn(lane);
    expect(lane.record.turn('first').state).toBe('completed');
    expect(scheduledEffects(await lane.events()).slice(before)).toEqual(['think', 'act', 'think']);
  });

  it('closes the turn even where its command cannot be stopped for good', async () => {
    const lane = await harness.warmLane();
    lane.record.fail('stopCommand', 'INTERNAL');
    const command = lane.record.hold('act');
    await lane.submit('t', [['bash']]);
    await command.reached;
    await cancel(lane, 't');
    await waitFor('the stop', () => lane.record.count('stopCommand') > 0);
    command.release();
    expect((await lane.ended('t')).state).toBe('cancelled');
    await goesOn(lane);
  });
});
