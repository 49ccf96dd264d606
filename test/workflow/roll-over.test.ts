/**
 * Goal: however many turns and signals arrive, and wherever a run is cut, every turn runs exactly once, in order, one at a time.
 * Method: several senders at random times against one lane, past the events of several runs; the record counts what was done.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HISTORY_EVENTS_MAX } from '../../src/contracts/limits.js';
import { testTemporal } from '../support/servers.js';
import { waitFor } from '../support/wait-for.js';
import { failedTasks, nameOf, ofType } from './support/history.js';
import { startLaneHarness, type LaneHarness, type TestLane } from './support/lane-harness.js';

const SENDERS = 4;
const TURNS_EACH = 45;
/** Longest time between two turns of one sender. */
const GAP_MS_MAX = 250;
/** Longest time between a turn's admission and its signal. */
const ANNOUNCED_MS_MAX = 80;
/** Events that one step, and what arrives during it, may add after the bound is reached. */
const OVERSHOOT_MAX = 250;

let harness: LaneHarness;
beforeAll(async () => {
  harness = await startLaneHarness((await testTemporal()).address);
});
afterEach(() => expect(harness.violations()).toEqual([]));
afterAll(() => harness.close());

/** The same numbers in every run of the test. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

/** Admits, then signals, as the client library does: of two at once, the later turn may be announced first. */
async function submitLate(lane: TestLane, turnId: string, plan: string[][], ms: number): Promise<void> {
  const { turnKey, position } = lane.record.admit(turnId, plan);
  await delay(ms);
  await lane.send('enqueueTurn', { turnId, admitted: { turnKey, position } });
}

/** One of many that write to a lane: admitted turns, prompts inside signals, wishes for sleep and wake, and rubbish. */
async function sender(lane: TestLane, name: string, seed: number): Promise<void> {
  const random = randomOf(seed);
  for (let turn = 0; turn < TURNS_EACH; turn += 1) {
    const turnId = `${name}-${turn}`;
    const what = random();
    if (what < 0.2) await lane.send('enqueueTurn', { turnId, prompt: turnId });
    else await submitLate(lane, turnId, what < 0.5 ? [['bash']] : [], random() * ANNOUNCED_MS_MAX);
    if (what > 0.97) await lane.send('sleepNow');
    else if (what > 0.95) await lane.send('wakeNow');
    else if (what > 0.93) await lane.send('enqueueTurn', what);
    // A sender's own pace, not a wait for the lane.
    await delay(random() * GAP_MS_MAX);
  }
}

describe('continue-as-new under load', () => {
  it('runs each of 180 turns once, in order of position, one at a time', async () => {
    const lane = harness.newLane();
    const firstRunId = await lane.start();
    // Prompts beyond the queue's bound would be refused: the bound is not what this is about.
    lane.record.refusalOf = () => undefined;
    await Promise.all(Array.from({ length: SENDERS }, (_, index) => sender(lane, `s${index}`, index + 1)));
    const { turns } = lane.record;
    await waitFor('all turns', () => turns.length === SENDERS * TURNS_EACH && lane.record.openTurns.length === 0);
    await lane.rests();

    expect(turns.every(({ state, code }) => state === 'completed' && code === null)).toBe(true);
    // Of a turn that is announced before an earlier one, or after its end, a step only finds that out: it begins nothing.
    const positions = lane.record.executions
      .filter(({ name, input }) => name === 'think' && (input as { step: number }).step === 0)
      .map((execution) => ({ ...execution, turn: turns.find(({ turnKey }) => turnKey === execution.turnKey) }))
      .filter(({ begunAt, overAt, turn }) => (overAt ?? 0) > (turn?.openedAt ?? 0) && begunAt < (turn?.endedAt ?? 0))
      .map(({ turn }) => turn?.position);
    expect(positions).toEqual(turns.map(({ position }) => position));
    const calls = turns.flatMap(({ steps }) => steps.flat());
    expect(calls.every(({ runs, outcome }) => runs === 1 && outcome === 'exited')).toBe(true);
    expect(lane.record.count('act')).toBe(calls.length);

    const runs = await lane.chain(firstRunId);
    expect(runs.length).toBeGreaterThan(3);
    for (const run of runs) {
      expect(run.length).toBeLessThan(HISTORY_EVENTS_MAX + OVERSHOOT_MAX);
      expect(failedTasks(run)).toEqual([]);
    }
  });
});

describe('a lane that is awake when its history is long', () => {
  it('carries its idle time and its wish for sleep over', async () => {
    const lane = await harness.warmLane();
    const { runId } = await lane.handle.describe();
    // A signal is an event: a thousand of them make a history long without a turn.
    const command = lane.record.hold('act');
    await lane.submit('t', [['bash'], ['bash']]);
    await command.reached;
    await lane.send('sleepNow');
    await Promise.all(Array.from({ length: HISTORY_EVENTS_MAX }, () => lane.send('wake')));
    command.release();
    expect((await lane.ended('t')).state).toBe('completed');
    await lane.reaches('sleep', (state) => state.phase === 'asleep');
    const runs = await lane.chain(runId);
    // Cut between the two commands, then again when the machine slept.
    expect(runs).toHaveLength(3);
    const carried = ofType(runs[1] ?? [], 'workflowExecutionStarted');
    expect(carried.map(nameOf)).toEqual(['workflowExecutionStarted']);
    expect(
      lane.record
        .turn('t')
        .steps.flat()
        .map(({ runs: times }) => times),
    ).toEqual([1, 1]);
  });
});
