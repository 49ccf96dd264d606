/**
 * Turns that meet each other, or their machine, at a bad moment: on real processes, looked at from outside.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callsOf, isAccepted } from '../../src/story/record/provider-record.js';
import { processesOf } from '../../src/story/record/secret-search.js';
import { waitFor } from '../support/wait-for.js';
import { endOf, say, untilPhase, untilWritten } from './support/actions.js';
import { openLanes } from './support/lane-handle.js';
import { leakedMachines, openStage, type Stage } from './support/stage.js';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(async () => {
  expect(await leakedMachines(stage)).toEqual([]);
  await stage.close();
});

describe('a turn submitted several times', () => {
  it('is one turn, whoever repeats it and whenever', async () => {
    const turn = { userId: 'twice', turnId: 'same', prompt: '$ echo ran >> ~/runs.txt; echo done' };
    const other = stage.stack.openBranch({ taskQueue: stage.stack.taskQueue });
    const clients = Array.from({ length: 10 }, (_, index) => (index % 2 === 0 ? stage.stack.client : other.client));
    const submitted = await Promise.all(clients.map((client) => client.submitTurn(turn))).finally(() => other.stop());
    expect(submitted.filter(({ isNew }) => isNew)).toHaveLength(1);
    expect(new Set(submitted.map(({ position }) => position))).toEqual(new Set([1]));
    const result = await endOf(stage.stack.client, turn);
    expect(result).toMatchObject({ state: 'completed', toolCalls: 1 });

    expect(await stage.stack.client.submitTurn(turn)).toMatchObject({ isNew: false, position: 1, state: 'completed' });
    await expect(stage.stack.client.submitTurn({ ...turn, prompt: 'Something else' })).rejects.toMatchObject({
      code: 'TURN_ID_REUSED',
    });
    expect(await stage.lines(turn.userId, 'runs.txt')).toEqual(['ran']);
    expect(await stage.database.turns(turn.userId)).toMatchObject([{ turnId: 'same', ends: 1 }]);
  });
});

describe('a turn that arrives while the machine goes to sleep', () => {
  it('waits for the sleep, then wakes the machine', async () => {
    const userId = 'drowsy';
    const { client, emulator } = stage.stack;
    await say(client, { userId, turnId: 'first', prompt: '$ echo one >> ~/runs.txt' });
    const machineId = await stage.machineId(userId);
    await emulator.call('PUT', '/_emulator/settings', { sleepMs: 1_500 });
    await client.sleepNow({ userId });
    await waitFor('it goes to sleep', async () => (await stage.provider.machine(machineId)).phase === 'stopping');
    const result = await say(client, { userId, turnId: 'second', prompt: '$ echo two >> ~/runs.txt' });
    await emulator.call('PUT', '/_emulator/settings', { sleepMs: 100 });

    expect(result).toMatchObject({ state: 'completed', toolCalls: 1 });
    expect(await stage.lines(userId, 'runs.txt')).toEqual(['one', 'two']);
    const entries = await stage.provider.ledger(0);
    const phases = entries.filter(({ kind, machineId: id }) => kind === 'machine.phase' && id === machineId);
    expect(phases.map((entry) => entry['to']).slice(-4)).toEqual(['stopping', 'sleeping', 'starting', 'running']);
    expect(callsOf(entries, { route: 'machines.wake', machineId }).filter(isAccepted)).toHaveLength(1);
    expect(await stage.creations(userId)).toHaveLength(1);
  });

  it('does not let a machine sleep that has work, however often it is asked to', async () => {
    const userId = 'busy';
    const { client } = stage.stack;
    const turn = { userId, turnId: 'long', prompt: '$ echo one >> ~/runs.txt; sleep 2; echo done' };
    await client.submitTurn(turn);
    await untilWritten(stage, userId, 'runs.txt');
    for (let asked = 0; asked < 5; asked += 1) await client.sleepNow({ userId });
    expect(await endOf(client, turn)).toMatchObject({ state: 'completed' });
    await untilPhase(stage, userId, 'asleep');
    const entries = await stage.provider.ledger(0);
    const machineId = await stage.machineId(userId);
    expect(callsOf(entries, { route: 'machines.sleep', machineId })).toHaveLength(1);
    const [command] = await stage.journal(userId);
    expect(command).toMatchObject({ starts: 1, exitCode: 0 });
  });
});

describe('a cancel in mid command', () => {
  it('ends every process of the command, and keeps what was said and done', async () => {
    const userId = 'impatient';
    const { client } = stage.stack;
    const prompt = [
      '$ echo kept',
      "$ echo said; sleep 4301 & sleep 4302 & bash -c 'sleep 4303; true' & setsid sleep 4304 & echo up >> ~/runs.txt; wait",
      '$ echo never >> ~/runs.txt',
    ].join('\n');
    await client.submitTurn({ userId, turnId: 'long', prompt });
    await client.submitTurn({ userId, turnId: 'next', prompt: '$ echo next >> ~/runs.txt' });
    await untilWritten(stage, userId, 'runs.txt');
    const { initPid } = await stage.provider.machine(await stage.machineId(userId));
    const sleepers = (): string[] =>
      processesOf(initPid ?? 0).flatMap((pid) => /sleep 430\d/.exec(commandOf(pid))?.[0] ?? []);
    await waitFor('all of them run', () => new Set(sleepers()).size === 4);

    expect(await client.cancelTurn({ userId, turnId: 'long' })).toEqual({ state: 'running' });
    const result = await endOf(client, { userId, turnId: 'long' });
    expect(result).toMatchObject({ state: 'cancelled', errorCode: 'CANCELLED' });
    expect(sleepers()).toEqual([]);
    const calls = await stage.database.calls({ userId, turnId: 'long' });
    expect(calls).toMatchObject([{ outcome: 'exited', exitCode: 0 }, { outcome: 'cancelled' }]);
    expect(calls.map(({ shown }) => shown).join()).toMatch(/kept[^]*said/);
    expect((await stage.transcript({ userId, turnId: 'long' }))[0]).toMatchObject({ kind: 'user', text: prompt });

    expect(await endOf(client, { userId, turnId: 'next' })).toMatchObject({ state: 'completed' });
    expect(await stage.lines(userId, 'runs.txt')).toEqual(['up', 'next']);
  });

  it('that comes by signal alone has the command told as cancelled', async () => {
    const userId = 'signaller';
    const { client } = stage.stack;
    await client.submitTurn({ userId, turnId: 'long', prompt: '$ echo up >> ~/runs.txt; sleep 600' });
    await untilWritten(stage, userId, 'runs.txt');
    const lanes = await openLanes(stage.temporalAddress);
    await lanes.of(userId).signal('cancelTurn', { turnId: 'long' });
    await lanes.close();
    expect(await endOf(client, { userId, turnId: 'long' })).toMatchObject({ state: 'cancelled' });
    expect(await stage.database.calls({ userId, turnId: 'long' })).toMatchObject([{ outcome: 'cancelled' }]);
    expect(await stage.journal(userId)).toMatchObject([{ starts: 1, endedAtMs: expect.any(Number) as number }]);
  });

  it('of a waiting turn leaves the running one alone', async () => {
    const userId = 'choosy';
    const { client } = stage.stack;
    await client.submitTurn({ userId, turnId: 'running', prompt: '$ echo one >> ~/runs.txt; sleep 1; echo done' });
    await client.submitTurn({ userId, turnId: 'waiting', prompt: '$ echo never >> ~/runs.txt' });
    await untilWritten(stage, userId, 'runs.txt');
    await client.cancelTurn({ userId, turnId: 'waiting' });
    expect(await endOf(client, { userId, turnId: 'waiting' })).toMatchObject({ state: 'cancelled', startedAt: null });
    expect(await endOf(client, { userId, turnId: 'running' })).toMatchObject({ state: 'completed' });
    expect(await stage.lines(userId, 'runs.txt')).toEqual(['one']);
  });
});

describe('a user destroyed with a queue', () => {
  it('settles every turn, deletes the machine, and can be created anew', async () => {
    const userId = 'leaver';
    const { client } = stage.stack;
    await client.submitTurn({ userId, turnId: 'running', prompt: '$ echo one >> ~/runs.txt; sleep 600' });
    await untilWritten(stage, userId, 'runs.txt');
    const waiting = ['w1', 'w2', 'w3'];
    for (const turnId of waiting) await client.submitTurn({ userId, turnId, prompt: '$ echo never >> ~/runs.txt' });
    const machineId = await stage.machineId(userId);
    const journal = await stage.journal(userId);

    await client.destroyUser({ userId });
    await expect(client.submitTurn({ userId, turnId: 'late', prompt: 'Hello?' })).rejects.toMatchObject({
      code: 'USER_DESTROYED',
    });
    for (const turnId of ['running', ...waiting]) {
      expect(await endOf(client, { userId, turnId })).toMatchObject({ state: 'failed', errorCode: 'USER_DESTROYED' });
    }
    await waitFor('the user is destroyed', async () => (await client.getUser({ userId })).state === 'destroyed');
    // Committed at the provider by then, which takes its time to carry it out.
    await waitFor('the machine is gone', async () => (await stage.provider.machine(machineId)).phase === 'destroyed');
    expect(journal).toHaveLength(1);
    const turns = await stage.database.turns(userId);
    expect(turns.map(({ turnId, ends }) => ({ turnId, ends }))).toEqual(
      ['running', ...waiting].map((turnId) => ({ turnId, ends: 1 })),
    );

    expect(await client.createUser({ userId })).toEqual({ created: true });
    const result = await say(client, { userId, turnId: 'anew', prompt: '$ cat ~/runs.txt || echo empty' });
    expect(result.state).toBe('completed');
    expect(result.answer).toContain('empty');
    expect((await stage.database.machine(userId))?.generation).toBe(2);
  });
});

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return ''; // It ended meanwhile.
  }
}
