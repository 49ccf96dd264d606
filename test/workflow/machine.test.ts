/**
 * Goal: one attempt at a time brings the machine to where it is needed, whoever needs it, and no failure of it stops the lane.
 * Method: scripts what the provider does to the machine, and reads from the lane's record what was done about it, in order.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { LanePhase } from '../../src/contracts/lane-state.js';
import { testTemporal } from '../support/servers.js';
import { waitFor } from '../support/wait-for.js';
import { failedTasks } from './support/history.js';
import { startLaneHarness, type LaneHarness, type TestLane } from './support/lane-harness.js';

let harness: LaneHarness;
beforeAll(async () => {
  harness = await startLaneHarness((await testTemporal()).address);
});
afterEach(() => expect(harness.violations()).toEqual([]));
afterAll(() => harness.close());

async function completes(lane: TestLane, turnId: string): Promise<void> {
  await lane.submit(turnId, [['bash']]);
  expect(await lane.ended(turnId)).toMatchObject({ state: 'completed', code: null });
  expect(lane.record.turn(turnId).steps[0]?.[0]).toMatchObject({ runs: 1, outcome: 'exited' });
}

/** What the lane did since a point in its record. */
const effectsSince = (lane: TestLane, from: number): string[] => lane.record.effects().slice(from);

describe('a machine that is needed', () => {
  it('is made once for a wake and a turn that both want it', async () => {
    const lane = harness.newLane();
    const creation = lane.record.hold('provisionMachine');
    lane.record.userState = 'active';
    await lane.send('wakeNow');
    await creation.reached;
    await lane.submit('t', [['bash']]);
    await waitFor('the first answer', () => lane.record.turn('t').steps.length === 1);
    await lane.send('wakeNow');
    creation.release();
    expect((await lane.ended('t')).state).toBe('completed');
    await lane.rests();
    expect(lane.record.effects()).toEqual(['provisionMachine', 'think', 'bootstrapMachine', 'act', 'think']);
  });

  it('goes on coming when the turn that asked for it ends without it, and is there for the next', async () => {
    const lane = harness.newLane();
    const creation = lane.record.hold('provisionMachine');
    await lane.submit('talk');
    expect((await lane.ended('talk')).state).toBe('completed');
    await lane.reaches('rest', (state) => state.turn === null && state.phase === 'provisioning');
    creation.release();
    await lane.reaches('the machine', (state) => state.phase === 'ready');
    await completes(lane, 'work');
    expect(lane.record.count('provisionMachine')).toBe(1);
  });

  it('is woken for a turn while the model thinks, and bootstrapped again where the boot has lost that', async () => {
    const lane = await harness.warmLane();
    await lane.send('sleepNow');
    await lane.reaches('sleep', (state) => state.phase === 'asleep');
    lane.record.isBootstrapLost = true;
    const from = lane.record.effects().length;
    await completes(lane, 't');
    expect(effectsSince(lane, from)).toEqual(['wakeMachine', 'think', 'bootstrapMachine', 'act', 'think']);
  });
});

describe('a machine that is not there in mid turn', () => {
  it('is woken where it fell asleep by itself, and the call is made again', async () => {
    const lane = await harness.warmLane();
    lane.record.isAsleepByItself = true;
    const from = lane.record.effects().length;
    await completes(lane, 't');
    expect(effectsSince(lane, from)).toEqual(['think', 'act', 'wakeMachine', 'act', 'think']);
  });

  it('is replaced by the next generation where it is gone, and the call is made again', async () => {
    const lane = await harness.warmLane();
    lane.record.isMachineGone = true;
    const from = lane.record.effects().length;
    await completes(lane, 't');
    const replaced = ['think', 'act', 'markMachineLost', 'provisionMachine', 'bootstrapMachine', 'act', 'think'];
    expect(effectsSince(lane, from)).toEqual(replaced);
    expect(await lane.state()).toMatchObject({ generation: 2, machineId: 'machine-2', phase: 'ready' });
  });

  it('is replaced where a wake finds it gone', async () => {
    const lane = await harness.warmLane();
    await lane.send('sleepNow');
    await lane.reaches('sleep', (state) => state.phase === 'asleep');
    lane.record.isMachineGone = true;
    await completes(lane, 't');
    expect(lane.record.generation).toBe(2);
  });

  it('fails the turn once the replacements are lost too, and the lane goes on', async () => {
    const lane = await harness.warmLane();
    lane.record.isMachineGone = true;
    lane.record.fail('bootstrapMachine', 'MACHINE_LOST', { times: 100 });
    await lane.submit('t', [['bash']]);
    expect(await lane.ended('t')).toMatchObject({ state: 'failed', code: 'MACHINE_UNAVAILABLE' });
    expect(lane.record.count('provisionMachine')).toBeLessThanOrEqual(10);
    lane.record.heal('bootstrapMachine');
    await completes(lane, 'next');
  });

  it('fails the turn where act finds it asleep again and again', async () => {
    const lane = await harness.warmLane();
    lane.record.fail('act', 'MACHINE_ASLEEP', { times: 100 });
    await lane.submit('t', [['bash']]);
    expect(await lane.ended('t')).toMatchObject({ state: 'failed', code: 'MACHINE_UNAVAILABLE' });
    expect(lane.record.count('act')).toBeLessThanOrEqual(10);
    lane.record.heal('act');
    await completes(lane, 'next');
  });

  it('is marked lost when the reconciler says so, once, and only for its own generation', async () => {
    const lane = await harness.warmLane();
    lane.record.isMachineGone = true;
    await lane.send('machineLost', { generation: 7 });
    await lane.send('machineLost', { generation: 1 });
    await lane.send('machineLost', { generation: 1 });
    await lane.reaches('the loss', (state) => state.phase === 'failed');
    expect(lane.record.count('markMachineLost')).toBe(1);
    await completes(lane, 't');
    await lane.send('machineLost', { generation: 1 });
    await completes(lane, 'next');
    expect(await lane.state()).toMatchObject({ generation: 2, phase: 'ready' });
  });

  it('that was reported lost in error is kept', async () => {
    const lane = await harness.warmLane();
    await lane.send('machineLost', { generation: 1 });
    await completes(lane, 't');
    expect(await lane.state()).toMatchObject({ generation: 1, phase: 'ready' });
  });
});

describe('a machine that cannot be had', () => {
  it.each([
    ['provisionMachine', 'PROVIDER_REFUSED'],
    ['provisionMachine', 'PROVIDER_UNAUTHORIZED'],
    ['bootstrapMachine', 'INTERNAL'],
  ] as const)('fails the turn that acts when %s ends in %s, and the next turn tries again', async (activity, code) => {
    const lane = harness.newLane();
    lane.record.fail(activity, code, { times: 2 });
    await lane.submit('first', [['bash']]);
    await lane.submit('second', [['bash']]);
    for (const turnId of ['first', 'second']) {
      expect(await lane.ended(turnId)).toMatchObject({ state: 'failed', code: 'MACHINE_UNAVAILABLE' });
      expect(lane.record.turn(turnId).steps[0]?.[0]).toMatchObject({ runs: 0 });
    }
    await completes(lane, 'third');
    expect(failedTasks(await lane.events())).toEqual([]);
  });

  it('does not fail a turn that needs none', async () => {
    const lane = harness.newLane();
    lane.record.fail('provisionMachine', 'PROVIDER_REFUSED');
    await lane.submit('talk');
    expect((await lane.ended('talk')).state).toBe('completed');
    await completes(lane, 'work');
  });

  it('fails the turn when a wake is refused, and the next turn tries again', async () => {
    const lane = await harness.warmLane();
    await lane.send('sleepNow');
    await lane.reaches('sleep', (state) => state.phase === 'asleep');
    lane.record.fail('wakeMachine', 'PROVIDER_UNAUTHORIZED');
    await lane.submit('t', [['bash']]);
    expect(await lane.ended('t')).toMatchObject({ state: 'failed', code: 'MACHINE_UNAVAILABLE' });
    await completes(lane, 'next');
  });
});

describe('a run that loads an unfinished phase', () => {
  async function loaded(phase: LanePhase, turnId: string | undefined): Promise<TestLane> {
    const lane = harness.newLane();
    lane.record.userState = 'active';
    lane.record.generation = 1;
    lane.record.phase = phase;
    if (turnId !== undefined) lane.record.admit(turnId, [['bash']]);
    await lane.start();
    return lane;
  }

  it.each([
    ['provisioning', ['provisionMachine', 'think', 'bootstrapMachine']],
    ['bootstrapping', ['bootstrapMachine', 'think']],
    ['waking', ['wakeMachine', 'think']],
    ['sleeping', ['sleepMachine', 'think', 'wakeMachine']],
  ] as const)('finishes %s first, even with a turn waiting', async (phase, first) => {
    const lane = await loaded(phase, 't');
    expect((await lane.ended('t')).state).toBe('completed');
    expect(
      lane.record
        .effects()
        .filter((name) => name !== 'think')
        .slice(0, 2),
    ).toEqual([...first.filter((name) => name !== 'think'), 'act'].slice(0, 2));
    expect(lane.record.turn('t').steps[0]?.[0]).toMatchObject({ runs: 1 });
  });

  it.each(['provisioning', 'bootstrapping', 'waking'] as const)('finishes %s with no turn in sight', async (phase) => {
    const lane = await loaded(phase, undefined);
    await lane.reaches('the machine', (state) => state.phase === 'ready');
  });

  it('finishes a sleep with no turn in sight', async () => {
    const lane = await loaded('sleeping', undefined);
    await lane.reaches('sleep', (state) => state.phase === 'asleep');
    expect(lane.record.effects()).toEqual(['sleepMachine']);
  });

  it('leaves a machine that it finds lost to the next turn', async () => {
    const lane = harness.newLane();
    lane.record.userState = 'active';
    lane.record.generation = 1;
    lane.record.phase = 'waking';
    lane.record.isMachineGone = true;
    await lane.start();
    await lane.reaches('the loss', (state) => state.phase === 'failed');
    await lane.rests();
    expect(lane.record.effects()).toEqual(['wakeMachine', 'markMachineLost']);
    await completes(lane, 't');
    expect(await lane.state()).toMatchObject({ generation: 2, phase: 'ready' });
  });
});
