/**
 * What a turn makes of a provider in trouble: it is answered, on one machine, and its commands ran once; or it fails with a code
 * that says why, and leaves nothing behind.
 *
 * Method: the emulator is told what goes wrong, on one machine. Every case looks at the provider's ledger, the guest's files and
 * Postgres, and that the trouble did strike.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../support/wait-for.js';
import { say, untilPhase, untilWritten } from './support/actions.js';
import { attemptsOf, openLanes } from './support/lane-handle.js';
import { leakedMachines, openStage, type Stage } from './support/stage.js';
import { accepted, makeTrouble, mostAlive, ofMachine, sleepNow, unstruck, type Fault } from './support/trouble.js';

let stage: Stage;
let users = 0;
const newUser = (): string => `trouble-user-${(users += 1)}`;

beforeAll(async () => {
  stage = await openStage({ env: { MACHINE_POLL_MS: '50', MACHINE_REQUEST_TIMEOUT_MS: '1000' } });
});
afterAll(async () => {
  expect(await leakedMachines(stage)).toEqual([]);
  await stage.close();
});

let turns = 0;
async function tell(userId: string, prompt: string) {
  const turn = { userId, turnId: `turn-${(turns += 1)}`, prompt };
  const result = await say(stage.stack.client, turn);
  return { ...result, turn };
}

/** One command that counts its runs. */
async function expectOneRun(userId: string, file: string): Promise<void> {
  const result = await tell(userId, `$ echo run >> ~/${file}; echo done ${file}`);
  expect(result, stage.stack.workerLog()).toMatchObject({ state: 'completed', toolCalls: 1 });
  expect(result.answer).toContain(`done ${file}`);
  expect(await stage.lines(userId, file)).toEqual(['run']);
}

/** The same kinds of trouble, on whatever route. */
const passing: readonly Fault[] = [
  { kind: 'status', status: 503, retryAfterHeaderMs: 50, count: 2 },
  { kind: 'status', status: 429, retryAfterMs: 50, count: 2 },
  { kind: 'status', status: 500 },
  { kind: 'response-lost' },
  { kind: 'cut-json' },
  { kind: 'delay', delayMs: 1_500, at: 'after' },
];
const named = (faults: readonly Fault[]) =>
  faults.map((fault) => [`${fault.kind} ${String(fault['status'] ?? '')}`, fault] as const);

describe('a creation', () => {
  it('that is refused for its size fails the turn and leaves nothing; with another setting the next turn has a machine', async () => {
    const userId = newUser();
    const branch = stage.stack.openBranch({ env: { MACHINE_MEMORY_MIB: '1000000' } });
    try {
      const worker = await branch.startWorker();
      const refused = await say(branch.client, { userId, turnId: 'refused', prompt: '$ echo hello' });
      expect(refused).toMatchObject({ state: 'failed', errorCode: 'MACHINE_UNAVAILABLE' });
      expect(await stage.database.machine(userId)).toBeUndefined();
      expect(await stage.creations(userId)).toEqual([]);
      worker.signal('SIGTERM');
      await worker.exited;
      await branch.startWorker({ MACHINE_MEMORY_MIB: '1024' });
      const taken = await say(branch.client, { userId, turnId: 'taken', prompt: '$ echo hello' });
      expect(taken, branch.workerLog()).toMatchObject({ state: 'completed', errorCode: null });
      expect(await stage.creations(userId)).toHaveLength(1);
      // No machine was lost, so the agent is not told of one.
      expect((await stage.transcript({ userId, turnId: 'taken' })).map(({ kind }) => kind)).not.toContain('note');
      const events = await stage.sql(
        `select 1 from turn_events where user_id = $1 and body->>'type' = 'machine.replaced'`,
        [userId],
      );
      expect(events).toEqual([]);
    } finally {
      await branch.stop();
    }
  });

  it.each(named(passing))('met by %s makes one machine', async (_name, fault) => {
    const userId = newUser();
    await makeTrouble(stage, { ...fault, route: 'machines.create' });
    await expectOneRun(userId, 'made.txt');
    expect(await stage.creations(userId)).toHaveLength(1);
  });

  it('that waits for a place is waited for', async () => {
    const userId = newUser();
    await makeTrouble(stage, { kind: 'placement-pending', route: 'machines.create' });
    const turn = { userId, turnId: 'patient', prompt: '$ echo placed' };
    await stage.stack.client.submitTurn(turn);
    await waitFor('the machine has an id', () => stage.machineId(userId).catch(() => ''));
    await stage.stack.emulator.call('DELETE', '/_emulator/faults');
    expect(await say(stage.stack.client, turn)).toMatchObject({ state: 'completed' });
  });

  it('whose machine runs but takes no command yet is waited for', async () => {
    await stage.stack.emulator.call('PUT', '/_emulator/settings', { routableMs: 600 });
    try {
      await expectOneRun(newUser(), 'routable.txt');
    } finally {
      await stage.stack.emulator.call('PUT', '/_emulator/settings', { routableMs: 0 });
    }
  });

  it('whose machine refuses commands is asked again', async () => {
    const codes = [
      'machine_not_routable',
      'machine_not_found',
      'host_agent_execute_failed',
      'execution_runner_prepare_failed',
    ];
    for (const code of codes) await makeTrouble(stage, { kind: 'execution-refusal', code });
    await expectOneRun(newUser(), 'refused.txt');
    expect(await unstruck(stage)).toEqual([]);
  });
});

/** A machine that is in trouble again and again: after each time it is the same one, and did what was asked once. */
describe.concurrent('waking', () => {
  const groups: readonly (readonly [string, readonly Fault[]])[] = [
    ['the request', passing.map((fault) => ({ ...fault, route: 'machines.wake' }))],
    [
      'its conditions',
      [
        { kind: 'revision-conflict', route: 'machines.wake', count: 3 },
        { kind: 'status', status: 409, code: 'INVALID_STATE', route: 'machines.wake' },
        { kind: 'internal-signature', route: 'machines.wake' },
      ],
    ],
    [
      'the reads around it',
      [
        { kind: 'unknown-phase', route: 'machines.get', count: 3 },
        { kind: 'stale-read', route: 'machines.get' },
        { kind: 'status', status: 503, route: 'machines.get', count: 3 },
        { kind: 'status', status: 404, code: 'NOT_FOUND', route: 'machines.get', count: 2 },
      ],
    ],
    [
      'the first commands after it',
      [
        { kind: 'not-routable-503', route: 'executions.create', count: 2 },
        { kind: 'response-lost', route: 'executions.create' },
        { kind: 'status', status: 503, route: 'executions.get', count: 2 },
        { kind: 'status', status: 429, retryAfterMs: 30, route: 'executions.output' },
        { kind: 'status', status: 429, retryAfterMs: 30, route: 'terminals.create' },
        { kind: 'response-lost', route: 'terminals.create' },
      ],
    ],
  ];
  it.each(groups)('with trouble in %s ends with the same machine, woken once', async (_name, faults) => {
    const userId = newUser();
    await expectOneRun(userId, 'first.txt');
    const machineId = await stage.machineId(userId);
    for (const [index, fault] of faults.entries()) {
      await sleepNow(stage, userId);
      const since = await stage.provider.mark();
      await makeTrouble(stage, fault, userId);
      await expectOneRun(userId, `run-${index}.txt`);
      const what = JSON.stringify(fault);
      expect(await unstruck(stage, userId), what).toEqual([]);
      expect(await stage.machineId(userId), what).toBe(machineId);
      expect(await accepted(stage, { route: 'machines.wake', machineId, since }), what).toBeLessThanOrEqual(1);
      expect(ofMachine(await stage.provider.ledger(since), machineId, 'machine.boot'), what).toHaveLength(1);
    }
  });

  it('that the machine does not survive brings a new one, and the agent is told', async () => {
    const lost = newUser();
    await expectOneRun(lost, 'gone.txt');
    const before = await stage.machineId(lost);
    await sleepNow(stage, lost);
    await makeTrouble(stage, { kind: 'runtime-wake-failed', route: 'machines.wake' }, lost);
    const result = await tell(lost, '$ ls ~/gone.txt || echo nothing here');
    expect(result, stage.stack.workerLog()).toMatchObject({ state: 'completed' });
    expect(result.answer).toContain('nothing here');
    await expectReplaced(lost, before);
  });
});

describe.concurrent('falling asleep', () => {
  const groups: readonly (readonly [string, readonly Fault[]])[] = [
    ['the request', passing.map((fault) => ({ ...fault, route: 'machines.sleep' }))],
    [
      'its conditions and the reads around it',
      [
        { kind: 'revision-conflict', route: 'machines.sleep', count: 3 },
        { kind: 'status', status: 409, code: 'INVALID_STATE', route: 'machines.sleep' },
        { kind: 'unknown-phase', route: 'machines.get', count: 3 },
        { kind: 'stale-read', route: 'machines.get' },
        { kind: 'status', status: 404, code: 'NOT_FOUND', route: 'machines.get', count: 2 },
        { kind: 'response-lost', route: 'terminals.delete' },
      ],
    ],
  ];
  it.each(groups)('with trouble in %s ends asleep', async (_name, faults) => {
    const userId = newUser();
    for (const [index, fault] of faults.entries()) {
      await expectOneRun(userId, `run-${index}.txt`);
      const machineId = await stage.machineId(userId);
      await makeTrouble(stage, fault, userId);
      await sleepNow(stage, userId);
      const what = JSON.stringify(fault);
      expect(await unstruck(stage, userId), what).toEqual([]);
      expect(await stage.provider.machine(machineId), what).toMatchObject({ phase: 'sleeping' });
    }
    expect(await stage.creations(userId)).toHaveLength(1);
  });

  it('refused to keys such as ours is left to the provider, and the machine serves the next turn', async () => {
    const userId = newUser();
    await expectOneRun(userId, 'awake.txt');
    const machineId = await stage.machineId(userId);
    const { bootId } = await stage.provider.machine(machineId);
    await makeTrouble(stage, { kind: 'internal-signature', route: 'machines.sleep' }, userId);
    await sleepNow(stage, userId);
    expect(await stage.provider.machine(machineId)).toMatchObject({ phase: 'running', bootId });
    await expectOneRun(userId, 'still-awake.txt');
    expect(await stage.provider.machine(machineId)).toMatchObject({ phase: 'running', bootId });
  });
});

describe.concurrent('a machine that is deleted behind our back', () => {
  it('between two turns is replaced, and the agent is told', async () => {
    const userId = newUser();
    await expectOneRun(userId, 'lost.txt');
    const before = await stage.machineId(userId);
    await stage.stack.emulator.call('POST', `/_emulator/machines/${before}/delete`);
    await expectOneRun(userId, 'new.txt');
    await expectReplaced(userId, before);
    expect(await stage.lines(userId, 'lost.txt')).toEqual([]);
  });

  it('while it sleeps is replaced', async () => {
    const userId = newUser();
    await expectOneRun(userId, 'lost.txt');
    const before = await stage.machineId(userId);
    await sleepNow(stage, userId);
    await stage.stack.emulator.call('POST', `/_emulator/machines/${before}/delete`);
    await expectOneRun(userId, 'new.txt');
    await expectReplaced(userId, before);
  });

  it('in the middle of a command is replaced: that command is unknown and not run again, the next one runs', async () => {
    const userId = newUser();
    await expectOneRun(userId, 'first.txt');
    const before = await stage.machineId(userId);
    const turn = {
      userId,
      turnId: 'cut',
      prompt: '$ echo on >> ~/cut.txt; sleep 60; echo over\n$ echo after >> ~/after.txt',
    };
    await stage.stack.client.submitTurn(turn);
    await untilWritten(stage, userId, 'cut.txt');
    await stage.stack.emulator.call('POST', `/_emulator/machines/${before}/delete`);
    expect(await say(stage.stack.client, turn), stage.stack.workerLog()).toMatchObject({ state: 'completed' });
    const [cut, after] = await stage.database.calls(turn);
    expect(cut).toMatchObject({ outcome: 'unknown', exitCode: null });
    expect(cut?.shown).toMatch(/unknown how the command ended: the machine was lost/);
    expect(after).toMatchObject({ outcome: 'exited', exitCode: 0 });
    expect(await stage.lines(userId, 'cut.txt')).toEqual([]);
    expect(await stage.lines(userId, 'after.txt')).toEqual(['after']);
    await expectReplaced(userId, before);
  });
});

async function expectReplaced(userId: string, before: string): Promise<void> {
  const after = await stage.database.machine(userId);
  expect(after?.machineId).not.toBe(before);
  expect(after?.generation).toBe(2);
  expect(await mostAlive(stage, userId)).toBe(1);
  const notes = await stage.sql<{ text: string }>(`select text from transcript where user_id = $1 and kind = 'note'`, [
    userId,
  ]);
  expect(notes).toEqual([{ text: expect.stringContaining('Your machine was replaced by a new, empty one') as string }]);
  const events = await stage.sql<{ generation: number }>(
    `select (body->>'generation')::int as generation from turn_events where user_id = $1 and body->>'type' = 'machine.replaced'`,
    [userId],
  );
  expect(events).toEqual([{ generation: 2 }]);
}

describe.concurrent('a terminal that is cut', () => {
  it.each([
    [1000, 1001, 1005, 1006],
    [1008, 1009, 1011, 1012],
  ])('with %i, %i, %i or %i, at any moment, costs no command a second run', async (...codes) => {
    const userId = newUser();
    await expectOneRun(userId, 'first.txt');
    for (const closeCode of codes) {
      // The one that is open would be used: sleep closes it.
      await sleepNow(stage, userId);
      const drop = { kind: 'terminal-drop', closeCode };
      // At connection, after the first input, after the first output, in mid output: one connection after the other.
      await makeTrouble(stage, { ...drop, at: 'before' }, userId);
      await makeTrouble(stage, { ...drop, at: 'during' }, userId);
      await makeTrouble(stage, { ...drop, at: 'after', afterBytes: 1 }, userId);
      await makeTrouble(stage, { ...drop, at: 'after', afterBytes: 1_000 }, userId);
      const file = `run-${closeCode}.txt`;
      const result = await tell(userId, `$ echo run >> ~/${file}; seq 1000; sleep 0.2; seq 1000\n$ echo over`);
      expect(result, stage.stack.workerLog()).toMatchObject({ state: 'completed', toolCalls: 2 });
      expect(await unstruck(stage, userId)).toEqual([]);
      expect(await stage.lines(userId, file)).toEqual(['run']);
      const [call] = await stage.database.calls({ userId, turnId: result.turnId });
      expect(call).toMatchObject({ outcome: 'exited', exitCode: 0 });
      const journalled = (await stage.journal(userId)).find(({ cmdId }) => cmdId === call?.cmdId);
      expect(journalled).toMatchObject({ starts: 1, exitCode: 0, outputHash: call?.outputHash });
    }
  });
});

describe('a terminal that is cut', () => {
  it('as it opens, and again in mid command, is opened by the same attempt, which then finds the command', async () => {
    const userId = newUser();
    await expectOneRun(userId, 'first.txt');
    await sleepNow(stage, userId);
    const drop = { kind: 'terminal-drop', closeCode: 1006 };
    await makeTrouble(stage, { ...drop, at: 'before' }, userId);
    await makeTrouble(stage, { ...drop, at: 'after', afterBytes: 1_000 }, userId);
    const result = await tell(userId, '$ echo run >> ~/cut.txt; seq 1000; sleep 0.5; seq 1000');
    expect(result, stage.stack.workerLog()).toMatchObject({ state: 'completed', toolCalls: 1 });
    expect(await unstruck(stage, userId)).toEqual([]);
    expect(await stage.lines(userId, 'cut.txt')).toEqual(['run']);
    const lanes = await openLanes(stage.temporalAddress);
    try {
      const attempts = await attemptsOf(lanes.of(userId), 'act');
      expect(attempts).toEqual(attempts.map(() => 1));
    } finally {
      await lanes.close();
    }
  });
});

describe.concurrent('destroying', () => {
  it.each(
    named([
      ...passing,
      { kind: 'error-after-commit', status: 500 },
      { kind: 'revision-conflict', count: 2 },
      { kind: 'status', status: 409, code: 'INVALID_STATE' },
    ]),
  )('met by %s ends with the machine gone', async (_name, fault) => {
    const userId = newUser();
    await stage.stack.client.createUser({ userId });
    await stage.stack.client.wakeNow({ userId });
    await untilPhase(stage, userId, 'ready');
    const machineId = await stage.machineId(userId);
    await makeTrouble(stage, { ...fault, route: 'machines.delete' }, userId);
    await stage.stack.client.destroyUser({ userId });
    await waitFor(
      'the user is destroyed',
      async () => (await stage.stack.client.getUser({ userId })).state === 'destroyed',
    );
    await waitFor('the machine is gone', async () => (await stage.provider.machine(machineId)).phase === 'destroyed');
    await expect(stage.stack.client.sleepNow({ userId })).rejects.toMatchObject({ code: 'USER_DESTROYED' });
  });
});
