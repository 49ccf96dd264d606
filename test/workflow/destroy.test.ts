/**
 * Goal: a destroyed user leaves no machine and no open turn, whatever was under way, and can be created again.
 * Method: destroys with a queue, in mid turn, during creation and bootstrap; reads the lane's record and how its run ended.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { testTemporal } from '../support/servers.js';
import { waitFor } from '../support/wait-for.js';
import { failedTasks, ofType, scheduledEffects } from './support/history.js';
import { startLaneHarness, type LaneHarness, type TestLane } from './support/lane-harness.js';

let harness: LaneHarness;
beforeAll(async () => {
  harness = await startLaneHarness((await testTemporal()).address);
});
afterEach(() => expect(harness.violations()).toEqual([]));
afterAll(() => harness.close());

/** Tries of what only sometimes falls into one task. */
const ROUNDS = 20;

/** As the client library destroys: the record first, then the signal. */
async function destroy(lane: TestLane): Promise<void> {
  lane.record.userState = 'destroying';
  await lane.send('destroy');
}

async function isDestroyed(lane: TestLane): Promise<void> {
  await lane.handle.result();
  expect((await lane.handle.describe()).status.name).toBe('COMPLETED');
  expect(lane.record).toMatchObject({ userState: 'destroyed', phase: 'destroyed', openTurns: [] });
  expect(lane.record.count('destroyMachine')).toBe(1);
  expect(failedTasks(await lane.events())).toEqual([]);
}

describe('destroy', () => {
  it('ends a lane at rest', async () => {
    const lane = await harness.warmLane();
    await destroy(lane);
    await isDestroyed(lane);
  });

  it('is tried again within 15 s for as long as it takes', async () => {
    const lane = await harness.warmLane();
    await destroy(lane);
    await isDestroyed(lane);
    const scheduled = ofType(await lane.events(), 'activityTaskScheduled').map(
      ({ activityTaskScheduledEventAttributes }) => activityTaskScheduledEventAttributes,
    );
    const tries = scheduled.find((attributes) => attributes?.activityType?.name === 'destroyMachine')?.retryPolicy;
    // As Temporal took it: 0 attempts are without end.
    expect(Number(tries?.maximumInterval?.seconds)).toBe(15);
    expect(tries?.maximumAttempts ?? 0).toBe(0);
  });

  it('ends a sleeping lane without waking its machine', async () => {
    const lane = await harness.warmLane();
    await lane.send('sleepNow');
    await lane.reaches('sleep', (state) => state.phase === 'asleep');
    await destroy(lane);
    await isDestroyed(lane);
    expect(lane.record.count('wakeMachine')).toBe(0);
  });

  it('whose signal was lost is found by a look, and by one in mid turn once that is over', async () => {
    const [idle, busy] = [await harness.warmLane(), await harness.warmLane()];
    idle.record.userState = 'destroying';
    await idle.send('look');
    await isDestroyed(idle);
    const command = busy.record.hold('act');
    await busy.submit('running', [['bash']]);
    await command.reached;
    busy.record.userState = 'destroying';
    await busy.send('look');
    command.release();
    await isDestroyed(busy);
    // A look at a user who is gone asks for nothing that could be refused.
    await busy.send('look');
    await busy.handle.result();
    expect(busy.record.rejections).toEqual([]);
  });

  it('in mid command stops it, and settles the queue', async () => {
    const lane = await harness.warmLane();
    const command = lane.record.hold('act');
    await lane.submit('running', [['bash']]);
    await command.reached;
    for (const turnId of ['a', 'b', 'c']) await lane.submit(turnId);
    await destroy(lane);
    await isDestroyed(lane);
    expect(lane.record.turn('running').steps[0]?.[0]).toMatchObject({ runs: 1, outcome: 'cancelled' });
    for (const turnId of ['running', 'a', 'b', 'c']) {
      expect(lane.record.turn(turnId)).toMatchObject({ state: 'failed', code: 'USER_DESTROYED' });
    }
  });

  it('while the model thinks drops the answer', async () => {
    const lane = await harness.warmLane();
    const thought = lane.record.hold('think');
    await lane.submit('t', [['bash']]);
    await thought.reached;
    await destroy(lane);
    await isDestroyed(lane);
    thought.release();
    expect(lane.record.turn('t')).toMatchObject({ state: 'failed', code: 'USER_DESTROYED', steps: [] });
  });

  it('while the machine is created awaits the creation, and nothing after it', async () => {
    const lane = harness.newLane();
    const creation = lane.record.hold('provisionMachine');
    await lane.submit('t', [['bash']]);
    await creation.reached;
    await destroy(lane);
    await lane.ended('t');
    expect(lane.record.count('destroyMachine')).toBe(0);
    creation.release();
    await isDestroyed(lane);
    expect(lane.record.count('bootstrapMachine')).toBe(0);
  });

  it.each(['bootstrapMachine', 'wakeMachine'] as const)('cancels %s', async (name) => {
    const lane = name === 'wakeMachine' ? await harness.warmLane() : harness.newLane();
    if (name === 'wakeMachine') {
      await lane.send('sleepNow');
      await lane.reaches('sleep', (state) => state.phase === 'asleep');
    }
    const held = lane.record.hold(name);
    await lane.submit('t', [['bash']]);
    await held.reached;
    await destroy(lane);
    await isDestroyed(lane);
    const events = await lane.events();
    expect(events.some((event) => event.activityTaskCanceledEventAttributes)).toBe(true);
  });

  it('waits for a sleep that is under way', async () => {
    const lane = await harness.warmLane();
    const sleep = lane.record.hold('sleepMachine');
    await lane.send('sleepNow');
    await sleep.reached;
    await destroy(lane);
    sleep.release();
    await isDestroyed(lane);
  });

  it('by signal alone, to a lane that does not run, begins nothing for the turns that wait', async () => {
    const lane = harness.newLane();
    lane.record.admit('waiting', [['bash']]);
    await lane.send('destroy');
    await isDestroyed(lane);
    expect(scheduledEffects(await lane.events())).toEqual(['destroyMachine']);
    expect(lane.record.turn('waiting')).toMatchObject({ state: 'failed', code: 'USER_DESTROYED' });
  });

  it('is finished by the next run where the first was terminated', async () => {
    const lane = await harness.warmLane();
    lane.record.hold('destroyMachine');
    await destroy(lane);
    await waitFor('the phase', () => lane.record.phase === 'destroying');
    await lane.handle.terminate();
    await lane.send('enqueueTurn', { turnId: 'any' });
    await lane.handle.result();
    expect(lane.record).toMatchObject({ userState: 'destroyed', phase: 'destroyed' });
  });
});

describe('a user that is gone', () => {
  it.each([
    ['enqueueTurn', [{ turnId: 't' }]],
    ['enqueueTurn', [{ turnId: 't', prompt: 'hello' }]],
    ['sleepNow', []],
    ['wakeNow', []],
    ['machineLost', [{ generation: 1 }]],
    ['destroy', []],
  ] as const)('refuses %s on record, and the run ends', async (signal, args) => {
    const lane = await harness.warmLane();
    await destroy(lane);
    await isDestroyed(lane);
    const from = lane.record.effects().length;
    await lane.send(signal, ...args);
    await lane.handle.result();
    expect(lane.record.rejections).toMatchObject([{ signal, code: 'USER_DESTROYED' }]);
    expect(lane.record.effects().slice(from)).toEqual([]);
  });

  it('refuses a turn that was never admitted, where there was no such user', async () => {
    const lane = harness.newLane();
    await lane.send('enqueueTurn', { turnId: 't' });
    await lane.handle.result();
    expect(lane.record.rejections).toMatchObject([{ signal: 'enqueueTurn', code: 'USER_UNKNOWN' }]);
  });

  it('can be created again', async () => {
    const lane = await harness.warmLane();
    await destroy(lane);
    await isDestroyed(lane);
    lane.record.createAgain();
    await lane.submit('anew', [['bash']]);
    expect((await lane.ended('anew')).state).toBe('completed');
    expect(await lane.rests()).toMatchObject({ phase: 'ready', generation: 2 });
  });

  it('created again while the lane still destroys is served by the same run', async () => {
    const lane = await harness.warmLane();
    const deletion = lane.record.hold('destroyMachine');
    await destroy(lane);
    await deletion.reached;
    const look = lane.record.hold('openNextTurn');
    deletion.release();
    await look.reached;
    lane.record.createAgain();
    await lane.submit('anew', [['bash']]);
    look.release();
    expect((await lane.ended('anew')).state).toBe('completed');
    expect(lane.record.rejections).toEqual([]);
  });

  it('created again at the moment of the end has a machine for its first turn', async () => {
    const lane = await harness.warmLane();
    // The message and the end may reach the lane in one task, in either order.
    for (let round = 0; round < ROUNDS; round += 1) {
      const deletion = lane.record.hold('destroyMachine');
      await destroy(lane);
      await deletion.reached;
      deletion.release();
      while (lane.record.userState !== 'destroyed') await new Promise(setImmediate);
      lane.record.createAgain();
      await lane.submit(`anew-${round}`, [['bash']]);
      expect(await lane.ended(`anew-${round}`)).toMatchObject({ state: 'completed', code: null });
    }
  });
});
