/**
 * Goal: a machine sleeps when its user is quiet and never under a turn; a sleeping lane costs no timer and a handful of events.
 * Method: short idle times on the real server's timers; timers and runs are counted in the histories.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { testTemporal } from '../support/servers.js';
import { waitFor } from '../support/wait-for.js';
import { count, failedTasks, nameOf } from './support/history.js';
import { startLaneHarness, type LaneHarness, type TestLane } from './support/lane-harness.js';

/** A quiet time that is over before a test is. */
const SHORT_IDLE_MS = 400;
/** Events of a run that only waits: started, one workflow task. */
const FRESH_EVENTS_MAX = 6;

let harness: LaneHarness;
beforeAll(async () => {
  harness = await startLaneHarness((await testTemporal()).address);
});
afterEach(() => expect(harness.violations()).toEqual([]));
afterAll(() => harness.close());

const asleep = (lane: TestLane) => lane.reaches('sleep', (state) => state.phase === 'asleep');
const ready = (lane: TestLane) => lane.reaches('the machine', (state) => state.phase === 'ready');

async function runs(lane: TestLane): Promise<string> {
  return (await lane.handle.describe()).runId;
}

async function pendingTimers(lane: TestLane): Promise<number> {
  const events = await lane.events();
  return count(events, 'timerStarted') - count(events, 'timerFired') - count(events, 'timerCanceled');
}

describe('a quiet user', () => {
  it('finds the machine asleep after the idle time, in a fresh run of a handful of events without a timer', async () => {
    const lane = harness.newLane({ idleMs: SHORT_IDLE_MS });
    const firstRunId = await lane.start();
    await lane.submit('t', [['bash']]);
    await lane.ended('t');
    await asleep(lane);
    await waitFor('a fresh run', async () => (await runs(lane)) !== firstRunId);
    await waitFor('its first task', async () => count(await lane.events(), 'workflowTaskCompleted') > 0);
    const events = await lane.events();
    expect(events.length, events.map(nameOf).join(' ')).toBeLessThanOrEqual(FRESH_EVENTS_MAX);
    expect(count(events, 'timerStarted')).toBe(0);
    expect((await lane.state()).idleDueAt).toBeNull();
    expect(lane.record.count('sleepMachine')).toBe(1);
    expect((await lane.state()).turnCount).toBe(1);
  });

  it('has an idle time of its own, which a change of the setting reaches with the next turn', async () => {
    const lane = await harness.warmLane();
    lane.record.settings.idleMs = SHORT_IDLE_MS;
    await lane.submit('t');
    await lane.ended('t');
    await asleep(lane);
  });

  it('is woken by the next turn, with the idle time counted from its end', async () => {
    const lane = harness.newLane({ idleMs: SHORT_IDLE_MS });
    await lane.submit('one', [['bash']]);
    await lane.ended('one');
    await asleep(lane);
    await lane.submit('two', [['bash']]);
    expect((await lane.ended('two')).state).toBe('completed');
    await waitFor('the second sleep', () => lane.record.count('sleepMachine') === 2);
    await asleep(lane);
    expect(lane.record.effects().filter((name) => name === 'wakeMachine')).toHaveLength(1);
  });

  it('takes few timers, however many the turns', async () => {
    const lane = await harness.warmLane();
    for (let turn = 0; turn < 25; turn += 1) {
      await lane.submit(`t${turn}`);
      await lane.ended(`t${turn}`);
    }
    await lane.rests();
    const events = await lane.events();
    expect(count(events, 'timerStarted')).toBeLessThanOrEqual(3);
    expect(await pendingTimers(lane)).toBe(1);
  });

  it('never finds a timer when the machine has failed', async () => {
    const lane = await harness.warmLane();
    lane.record.isMachineGone = true;
    await lane.send('machineLost', { generation: 1 });
    await lane.reaches('the loss', (state) => state.phase === 'failed');
    await waitFor('no timer', async () => (await pendingTimers(lane)) === 0);
  });

  it('is left to the provider where its sleep is closed to us', async () => {
    const lane = await harness.warmLane();
    lane.record.isSleepClosed = true;
    await lane.send('sleepNow');
    const state = await asleep(lane);
    expect(state.lastErrorCode).toBe('PROVIDER_ROUTE_CLOSED');
    await lane.submit('t', [['bash']]);
    expect((await lane.ended('t')).state).toBe('completed');
  });
});

describe('sleepNow', () => {
  it('waits for every open turn', async () => {
    const lane = await harness.warmLane();
    const command = lane.record.hold('act');
    await lane.submit('running', [['bash']]);
    await lane.submit('waiting');
    await command.reached;
    await lane.send('sleepNow');
    command.release();
    await asleep(lane);
    expect(lane.record.openTurns).toEqual([]);
    expect(lane.record.effects().at(-1)).toBe('sleepMachine');
  });

  it('lapses when a turn is admitted after it', async () => {
    const lane = await harness.warmLane();
    const command = lane.record.hold('act');
    await lane.submit('running', [['bash']]);
    await command.reached;
    await lane.send('sleepNow');
    await lane.submit('later');
    command.release();
    await lane.ended('later');
    await lane.rests();
    expect((await lane.state()).phase).toBe('ready');
    expect(lane.record.count('sleepMachine')).toBe(0);
  });

  it('waits for a lease, and sleeps when it has run out', async () => {
    const lane = await harness.warmLane();
    lane.record.leasedUntilMs = Date.now() + 700;
    await lane.send('sleepNow');
    await waitFor('the first try', () => lane.record.count('sleepMachine') === 1);
    await asleep(lane);
    expect(lane.record.count('sleepMachine')).toBe(2);
  });

  it('lapses where a turn was admitted between the decision and the sleep: busy', async () => {
    const lane = await harness.warmLane();
    // Admitted, and its signal is still on its way.
    lane.record.admit('unheard');
    await lane.send('sleepNow');
    expect((await lane.ended('unheard')).state).toBe('completed');
    await lane.rests();
    expect((await lane.state()).phase).toBe('ready');
  });

  it('reaches a machine that sleeps as far as the lane knows: somebody else may have woken it', async () => {
    const lane = await harness.warmLane();
    await lane.send('sleepNow');
    await lane.reaches('sleep', (state) => state.phase === 'asleep');
    lane.record.fail('sleepMachine', 'PROVIDER_UNAVAILABLE');
    await lane.send('sleepNow');
    await waitFor('it was asked again after the error', () => lane.record.count('sleepMachine') === 3);
    await lane.reaches('sleep', (state) => state.phase === 'asleep' && state.lastErrorCode === 'PROVIDER_UNAVAILABLE');
    expect(lane.record.count('wakeMachine')).toBe(0);
    await lane.submit('t', [['bash']]);
    expect((await lane.ended('t')).state).toBe('completed');
  });

  it('does nothing to a user without a machine', async () => {
    const lane = harness.newLane();
    lane.record.userState = 'active';
    await lane.send('sleepNow');
    await waitFor('the contact', () => lane.record.lane === 1);
    await lane.submit('t', [['bash']]);
    expect((await lane.ended('t')).state).toBe('completed');
    await lane.rests();
    expect(lane.record.count('sleepMachine')).toBe(0);
  });
});

describe('wakeNow', () => {
  it('wakes the machine and starts the idle time anew', async () => {
    const lane = harness.newLane({ idleMs: SHORT_IDLE_MS });
    await lane.submit('t', [['bash']]);
    await lane.ended('t');
    await asleep(lane);
    await lane.send('wakeNow');
    await waitFor('the wake', () => lane.record.count('wakeMachine') === 1);
    await waitFor('the second sleep', () => lane.record.count('sleepMachine') === 2);
    await asleep(lane);
  });

  it('puts off the sleep of a machine that is awake', async () => {
    const lane = await harness.warmLane();
    const before = (await lane.state()).idleDueAt ?? '';
    await lane.send('wakeNow');
    await lane.reaches('a later sleep', (state) => (state.idleDueAt ?? '') > before);
    expect(await pendingTimers(lane)).toBe(1);
  });

  it('undoes a sleepNow before it', async () => {
    const lane = await harness.warmLane();
    const command = lane.record.hold('act');
    await lane.submit('t', [['bash']]);
    await command.reached;
    await lane.send('sleepNow');
    await lane.send('wakeNow');
    command.release();
    await lane.ended('t');
    await lane.rests();
    expect((await lane.state()).phase).toBe('ready');
    expect(lane.record.count('sleepMachine')).toBe(0);
  });
});

describe('a turn that arrives while the machine goes to sleep', () => {
  it('waits for the sleep and is taken right after it', async () => {
    const lane = await harness.warmLane();
    const sleep = lane.record.hold('sleepMachine');
    await lane.send('sleepNow');
    await sleep.reached;
    await lane.reaches('the phase', (state) => state.phase === 'sleeping');
    const from = lane.record.effects().length;
    await lane.submit('t', [['bash']]);
    // Mail is stored meanwhile.
    await lane.send('enqueueTurn', { turnId: 'inline', prompt: 'hello' });
    await waitFor('the prompt in store', () => lane.record.find('inline') !== undefined);
    expect(lane.record.turn('t').state).toBe('queued');
    sleep.release();
    expect((await lane.ended('t')).state).toBe('completed');
    expect((await lane.ended('inline')).state).toBe('completed');
    expect(lane.record.effects().slice(from)).toEqual(['wakeMachine', 'think', 'act', 'think', 'think']);
    expect(failedTasks(await lane.events())).toEqual([]);
  });

  it('is taken by the run that follows where that has begun', async () => {
    const lane = await harness.warmLane();
    for (let round = 0; round < 5; round += 1) {
      await lane.send('sleepNow');
      await waitFor('the sleep', () => lane.record.phase === 'asleep');
      await lane.submit(`t${round}`, [['bash']]);
      expect((await lane.ended(`t${round}`)).state).toBe('completed');
      await ready(lane);
    }
    expect(lane.record.turns.flatMap(({ steps }) => steps.flat()).every(({ runs: times }) => times === 1)).toBe(true);
  });
});
