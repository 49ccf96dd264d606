/**
 * Goal: whatever ends a run of the lane, the next run takes up where it stood: nothing is lost and no command runs twice.
 * Method: terminates, cancels and resets the workflow in mid turn, and lets Postgres refuse a run as stale at every activity.
 */
import { randomUUID } from 'node:crypto';
import { WorkflowFailedError } from '@temporalio/client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { testTemporal } from '../support/servers.js';
import { waitFor } from '../support/wait-for.js';
import { failedTasks, nameOf, scheduledEffects } from './support/history.js';
import type { ActivityName, Gate } from './support/lane-record.js';
import { startLaneHarness, type LaneHarness, type TestLane } from './support/lane-harness.js';

let harness: LaneHarness;
beforeAll(async () => {
  harness = await startLaneHarness((await testTemporal()).address);
});
afterEach(() => expect(harness.violations()).toEqual([]));
afterAll(() => harness.close());

/** A turn of two commands that stands in the middle of its first. */
async function inCommand(): Promise<{ lane: TestLane; command: Gate }> {
  const lane = await harness.warmLane();
  const command = lane.record.hold('act');
  await lane.submit('t', [['bash'], ['bash']]);
  await command.reached;
  return { lane, command };
}

/** The turn went on from its first command, which was stopped and did not run again. */
async function resumes(lane: TestLane): Promise<void> {
  expect(await lane.ended('t')).toMatchObject({ state: 'completed', code: null });
  const [first, second] = lane.record.turn('t').steps.flat();
  expect(first).toMatchObject({ runs: 1, outcome: 'interrupted' });
  expect(second).toMatchObject({ runs: 1, outcome: 'exited' });
  await lane.submit('next', [['bash']]);
  expect((await lane.ended('next')).state).toBe('completed');
}

describe('a lane that is terminated in mid command', () => {
  it('is contacted, settled and resumed by the next signal', async () => {
    const { lane, command } = await inCommand();
    await lane.handle.terminate();
    await lane.send('enqueueTurn', { turnId: 't' });
    await resumes(lane);
    command.release();
    expect(lane.record.lane).toBe(2);
    expect(scheduledEffects(await lane.events())[0]).toBe('stopCommand');
    expect(failedTasks(await lane.events())).toEqual([]);
  });

  it('is resumed although the machine is gone by then', async () => {
    const { lane, command } = await inCommand();
    await lane.handle.terminate();
    lane.record.isMachineGone = true;
    await lane.send('enqueueTurn', { turnId: 't' });
    await resumes(lane);
    command.release();
    expect(lane.record.generation).toBe(2);
  });

  it('closes a turn whose cancel came meanwhile, its command stopped', async () => {
    const { lane, command } = await inCommand();
    await lane.handle.terminate();
    lane.record.requestCancel('t');
    await lane.send('cancelTurn', { turnId: 't' });
    expect(await lane.ended('t')).toMatchObject({ state: 'cancelled', code: 'CANCELLED' });
    expect(lane.record.turn('t').steps.flat()).toMatchObject([{ runs: 1, outcome: 'cancelled' }]);
    command.release();
  });

  it('closes a turn that is past its deadline', async () => {
    const { lane, command } = await inCommand();
    await lane.handle.terminate();
    lane.record.turn('t').deadlineAtMs = Date.now() - 1;
    await lane.send('enqueueTurn', { turnId: 't' });
    expect(await lane.ended('t')).toMatchObject({ state: 'failed', code: 'TURN_DEADLINE_EXCEEDED' });
    expect(lane.record.turn('t').steps.flat()).toMatchObject([{ runs: 1, outcome: 'interrupted' }]);
    command.release();
  });

  it('touches no machine where no command was under way', async () => {
    const lane = await harness.warmLane();
    const thought = lane.record.hold('think');
    await lane.submit('t');
    await thought.reached;
    await lane.handle.terminate();
    await lane.send('enqueueTurn', { turnId: 't' });
    expect((await lane.ended('t')).state).toBe('completed');
    thought.release();
    expect(scheduledEffects(await lane.events())).toEqual(['think']);
  });
});

describe('a lane that is reset in mid command', () => {
  it('finds itself stale, contacts, settles and resumes', async () => {
    const { lane, command } = await inCommand();
    const events = await lane.events();
    const at = events.findLast((event) => nameOf(event) === 'workflowTaskCompleted');
    await harness.client.workflowService.resetWorkflowExecution({
      namespace: harness.client.options.namespace,
      workflowExecution: { workflowId: lane.workflowId },
      reason: 'test',
      requestId: randomUUID(),
      workflowTaskFinishEventId: at?.eventId ?? null,
    });
    await resumes(lane);
    command.release();
    expect(lane.record.lane).toBe(2);
  });

  it('takes the next turn where it was reset at rest', async () => {
    const lane = await harness.warmLane();
    const at = (await lane.events()).findLast((event) => nameOf(event) === 'workflowTaskCompleted');
    await harness.client.workflowService.resetWorkflowExecution({
      namespace: harness.client.options.namespace,
      workflowExecution: { workflowId: lane.workflowId },
      reason: 'test',
      requestId: randomUUID(),
      workflowTaskFinishEventId: at?.eventId ?? null,
    });
    await lane.send('wakeNow');
    await lane.submit('t', [['bash']]);
    expect((await lane.ended('t')).state).toBe('completed');
  });
});

describe('a cancel request on the lane', () => {
  it('stops the command, leaves the turn open and ends the run; the next signal resumes it', async () => {
    const { lane, command } = await inCommand();
    await lane.handle.cancel();
    await expect(lane.handle.result()).rejects.toBeInstanceOf(WorkflowFailedError);
    expect((await lane.handle.describe()).status.name).toBe('CANCELLED');
    expect(lane.record.turn('t')).toMatchObject({ state: 'running', code: null });
    expect(lane.record.turn('t').steps.flat()).toMatchObject([{ runs: 1, outcome: 'interrupted' }]);
    await lane.send('enqueueTurn', { turnId: 't' });
    await resumes(lane);
    command.release();
  });

  it.each(['think', 'act'] as const)('leaves the turn open although %s fails meanwhile', async (name) => {
    const lane = await harness.warmLane();
    const step = lane.record.hold(name, { failsWith: 'INTERNAL' });
    await lane.submit('t', [['bash']]);
    await step.reached;
    await lane.handle.cancel();
    await waitFor('the run is being cancelled', async () =>
      (await lane.events()).some((event) => nameOf(event) === 'activityTaskCancelRequested'),
    );
    step.release();
    await expect(lane.handle.result()).rejects.toBeInstanceOf(WorkflowFailedError);
    expect(lane.record.turn('t')).toMatchObject({ state: 'running', code: null });
    await lane.send('enqueueTurn', { turnId: 't' });
    expect(await lane.ended('t')).toMatchObject({ state: 'completed', code: null });
    expect(lane.record.turn('t').steps.flat()).toMatchObject([{ runs: 1 }]);
  });

  it('ends a run at rest, a sleeping one and one that thinks', async () => {
    const lane = await harness.warmLane();
    await lane.handle.cancel();
    await expect(lane.handle.result()).rejects.toThrow();
    const thought = lane.record.hold('think');
    await lane.submit('t', [['bash']]);
    await thought.reached;
    await lane.handle.cancel();
    await expect(lane.handle.result()).rejects.toThrow();
    thought.release();
    expect(lane.record.turn('t').state).toBe('running');
    await lane.send('sleepNow');
    expect((await lane.ended('t')).state).toBe('completed');
    await lane.reaches('sleep', (state) => state.phase === 'asleep');
    await lane.handle.cancel();
    await expect(lane.handle.result()).rejects.toThrow();
    await lane.submit('last', [['bash']]);
    expect((await lane.ended('last')).state).toBe('completed');
  });

  it('stores the prompts that came by signal before it ends', async () => {
    const lane = await harness.warmLane();
    const store = lane.record.hold('admitPrompt');
    for (const turnId of ['a', 'b', 'c']) await lane.send('enqueueTurn', { turnId, prompt: turnId });
    await store.reached;
    await lane.handle.cancel();
    store.release();
    await expect(lane.handle.result()).rejects.toThrow();
    expect(lane.record.turns.map(({ turnId }) => turnId)).toEqual(['first', 'a', 'b', 'c']);
    await lane.send('enqueueTurn', { turnId: 'a' });
    expect((await lane.ended('c')).state).toBe('completed');
  });
});

describe('STALE_LANE', () => {
  it.each(['openNextTurn', 'think', 'act', 'closeTurn', 'stopCommand'] as const)(
    'of %s makes the run contact again and go on',
    async (name) => {
      const lane = await harness.warmLane();
      lane.record.fail(name, 'STALE_LANE');
      if (name === 'closeTurn' || name === 'stopCommand') lane.record.fail('act', 'INTERNAL');
      await lane.submit('t', [['bash']]);
      const { state } = await lane.ended('t');
      expect(state).toBe(name === 'stopCommand' || name === 'closeTurn' ? lane.record.turn('t').state : 'completed');
      await lane.submit('next', [['bash']]);
      expect((await lane.ended('next')).state).toBe('completed');
      expect(
        lane.record
          .turn('t')
          .steps.flat()
          .every(({ runs }) => runs <= 1),
      ).toBe(true);
    },
  );

  it.each(['provisionMachine', 'bootstrapMachine', 'wakeMachine', 'sleepMachine', 'destroyMachine'] as const)(
    'of %s makes the run contact again and go on',
    async (name: ActivityName) => {
      const lane = harness.newLane();
      lane.record.fail(name, 'STALE_LANE');
      await lane.submit('one', [['bash']]);
      expect((await lane.ended('one')).state).toBe('completed');
      await lane.send('sleepNow');
      await lane.reaches('sleep', (state) => state.phase === 'asleep');
      await lane.send('wakeNow');
      await lane.reaches('the wake', (state) => state.phase === 'ready');
      await lane.send('destroy');
      await waitFor('the end', () => lane.record.userState === 'destroyed');
      expect(lane.record.count(name)).toBe(2);
    },
  );
});
