/**
 * A worker that is killed with -9 at any boundary of any activity costs time and nothing else: the turn ends, its commands ran
 * once, the transcript is exact, one machine was created.
 *
 * Method: each case has a user of its own, and for its time a task queue and its worker. That worker kills itself at a named point
 * (WORKER_FAULT_POINT), or is killed from here while the far side has done its part and has not answered; another one, which knows
 * nothing of it, ends the case, and is the one that dies in the next. Four points an activity: before its effect, after its effect,
 * after the response, before completion.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { callsOf, isAccepted } from '../../src/story/record/provider-record.js';
import { waitFor } from '../support/wait-for.js';
import { openMortalWorker, type MortalWorker } from './support/mortal-worker.js';
import { untilProvider } from './support/reconcile.js';
import { leakedMachines, openStage, type Stage, type TranscriptEntry } from './support/stage.js';

const PROMPT = '$ echo one >> ~/runs.txt; echo first\n$ echo two >> ~/runs.txt; echo second';
const CASE_MS = 150_000;

let stage: Stage;
/** What an undisturbed turn of this prompt leaves. */
let undisturbed: TranscriptEntry[];

beforeAll(async () => {
  stage = await openStage();
  const turn = { userId: 'undisturbed', turnId: 'turn' };
  await stage.stack.client.submitTurn({ ...turn, prompt: PROMPT });
  expect(await stage.stack.client.turnResult({ ...turn, timeoutMs: 60_000 })).toMatchObject({ state: 'completed' });
  undisturbed = await stage.transcript(turn);
  expect(undisturbed.map(({ kind }) => kind)).toEqual(['user', 'assistant', 'assistant', 'assistant']);
});
afterAll(async () => {
  await Promise.all(mortals.map(({ branch }) => branch.stop()));
  expect(await leakedMachines(stage)).toEqual([]);
  await stage.close();
});

const mortals: MortalWorker[] = [];
const free: MortalWorker[] = [];
let users = 0;

type Scene = MortalWorker & { readonly userId: string };

async function withScene(work: (scene: Scene) => Promise<void>): Promise<void> {
  const userId = `user-${(users += 1)}`;
  let mortal = free.pop();
  if (mortal === undefined) mortals.push((mortal = openMortalWorker(stage)));
  await work({ ...mortal, userId });
  free.push(mortal); // Not where the case failed.
}

async function submit({ branch, userId }: Scene, turnId = 'turn', prompt = PROMPT): Promise<void> {
  await branch.client.submitTurn({ userId, turnId, prompt });
}

/** The turn ends as if nothing had been, and ran once. `before`: lines that the counter had. */
async function expectUndisturbed({ branch, userId }: Scene, before: readonly string[] = []): Promise<void> {
  const turn = { userId, turnId: 'turn' };
  const result = await branch.client.turnResult({ ...turn, timeoutMs: CASE_MS });
  expect(result, branch.workerLog()).toMatchObject({ state: 'completed', errorCode: null, steps: 3, toolCalls: 2 });
  expect(await stage.transcript(turn)).toEqual(undisturbed);
  expect(await stage.lines(userId, 'runs.txt')).toEqual([...before, 'one', 'two']);
  expect((await stage.journal(userId)).map(({ starts }) => starts)).toEqual([...before, 'one', 'two'].map(() => 1));
  expect(await stage.creations(userId)).toHaveLength(1);
}

/** A machine that sleeps. */
async function putToSleep(scene: Scene): Promise<void> {
  const { branch, userId } = scene;
  await scene.arm();
  await submit(scene, 'earlier', '$ echo earlier >> ~/runs.txt');
  await branch.client.turnResult({ userId, turnId: 'earlier', timeoutMs: CASE_MS });
  await branch.client.sleepNow({ userId });
  await waitFor('the machine sleeps', async () => (await stage.database.machine(userId))?.phase === 'asleep');
}

/** Delays the answer of a route, of this machine only, until long after its effect. */
async function delayAnswer(machineId: string, route: string): Promise<void> {
  const fault = { kind: 'delay', at: 'after', delayMs: 3_000, match: { machineId, route } };
  await stage.stack.emulator.call('POST', '/_emulator/faults', fault);
}

describe.concurrent('a turn whose worker is killed', () => {
  it.for([
    'openNextTurn/store.commit:before',
    'openNextTurn/store.commit:after',
    'openNextTurn/completion',
    'think/model.complete:before',
    'think/model.complete:after',
    'think/store.commit:after#2',
    'think/completion',
    'think/completion#3',
    'act/guest.run:before',
    'act/guest.run:after',
    'act/completion',
    'provisionMachine/machines.create:before',
    'provisionMachine/machines.create:after',
    'provisionMachine/completion',
    'bootstrapMachine/guest.bootstrap:before',
    'bootstrapMachine/guest.bootstrap:after',
    'bootstrapMachine/completion',
  ])('at %s ends undisturbed', { timeout: CASE_MS }, async (point) => {
    await withScene(async (scene) => {
      await scene.arm(point);
      await submit(scene);
      await scene.succeed();
      await expectUndisturbed(scene);
    });
  });

  it('after the model was asked and before it answered ends undisturbed', { timeout: CASE_MS }, async () => {
    await withScene(async (scene) => {
      await scene.arm();
      await submit(scene, 'slow', `A slow one of ${scene.userId}.\n!model delay 2000\n$ echo zero >> ~/runs.txt`);
      await waitFor('the model is asked', async () => {
        const { calls } = await stage.stack.emulator.get<{ calls: { prompt: string }[] }>('/_emulator/model/calls');
        return calls.some(({ prompt }) => prompt.includes(`of ${scene.userId}.`));
      });
      scene.kill();
      await scene.succeed();
      await submit(scene);
      await expectUndisturbed(scene, ['zero']);
    });
  });

  it('in the middle of a command ends undisturbed', { timeout: CASE_MS }, async () => {
    await withScene(async (scene) => {
      const { userId } = scene;
      await scene.arm();
      await submit(scene, 'long', '$ echo zero >> ~/runs.txt; sleep 2; echo done');
      await waitFor('the command runs', async () => {
        const machine = await stage.database.machine(userId);
        return machine?.phase === 'ready' && (await stage.lines(userId, 'runs.txt')).length > 0;
      });
      scene.kill();
      await scene.succeed();
      await submit(scene);
      await expectUndisturbed(scene, ['zero']);
    });
  });

  it.for(['wakeMachine/machines.wake:before', 'wakeMachine/machines.wake:after', 'wakeMachine/completion'])(
    'at %s ends undisturbed on the woken machine',
    { timeout: CASE_MS },
    async (point) => {
      await withScene(async (scene) => {
        await putToSleep(scene);
        await scene.arm(point);
        await submit(scene);
        await scene.succeed();
        await expectUndisturbed(scene, ['earlier']);
      });
    },
  );

  it('after the wake and before its answer ends undisturbed', { timeout: CASE_MS }, async () => {
    await withScene(async (scene) => {
      await putToSleep(scene);
      const machineId = await stage.machineId(scene.userId);
      await delayAnswer(machineId, 'machines.wake');
      await scene.arm();
      await submit(scene);
      await waitFor('the machine wakes', async () => (await stage.provider.machine(machineId)).phase !== 'sleeping');
      scene.kill();
      await scene.succeed();
      await expectUndisturbed(scene, ['earlier']);
    });
  });
});

describe.concurrent('a machine whose worker is killed while it is put to sleep', () => {
  async function expectAsleep(scene: Scene): Promise<void> {
    const { userId } = scene;
    await waitFor('the machine sleeps', async () => (await stage.database.machine(userId))?.phase === 'asleep');
    const machineId = await stage.machineId(userId);
    expect((await stage.provider.machine(machineId)).phase).toBe('sleeping');
    const entries = await stage.provider.ledger(0);
    const sleeps = entries.filter(({ kind, machineId: id, ...fields }) => {
      return kind === 'machine.desired' && id === machineId && fields['desiredState'] === 'sleeping';
    });
    expect(sleeps).toHaveLength(1);
    // A repeat of an answered request has its key: whoever counts requests sees one.
    const keys = callsOf(entries, { route: 'machines.sleep', machineId }).filter(isAccepted);
    expect(new Set(keys.map((call) => call['idempotencyKey'])).size).toBe(1);
    await submit(scene);
    await expectUndisturbed(scene, ['earlier']);
  }

  async function runEarlier(scene: Scene): Promise<void> {
    await submit(scene, 'earlier', '$ echo earlier >> ~/runs.txt');
    await scene.branch.client.turnResult({ userId: scene.userId, turnId: 'earlier', timeoutMs: CASE_MS });
  }

  it.for(['sleepMachine/machines.sleep:before', 'sleepMachine/machines.sleep:after', 'sleepMachine/completion'])(
    'at %s sleeps, and wakes for the next turn',
    { timeout: CASE_MS },
    async (point) => {
      await withScene(async (scene) => {
        await scene.arm(point);
        await runEarlier(scene);
        await scene.branch.client.sleepNow({ userId: scene.userId });
        await scene.succeed();
        await expectAsleep(scene);
      });
    },
  );

  it('after the sleep and before its answer sleeps, and wakes for the next turn', { timeout: CASE_MS }, async () => {
    await withScene(async (scene) => {
      await scene.arm();
      await runEarlier(scene);
      const machineId = await stage.machineId(scene.userId);
      await delayAnswer(machineId, 'machines.sleep');
      await scene.branch.client.sleepNow({ userId: scene.userId });
      await waitFor('it falls asleep', async () => (await stage.provider.machine(machineId)).phase !== 'running');
      scene.kill();
      await scene.succeed();
      await expectAsleep(scene);
    });
  });
});

describe.concurrent('a cancelled turn whose worker is killed', () => {
  const LONG = `$ echo zero >> ~/runs.txt; trap '' INT; sleep 300 & wait`;

  async function cancelMidCommand(scene: Scene): Promise<void> {
    const { branch, userId } = scene;
    await submit(scene, 'long', LONG);
    await waitFor('the command runs', async () => {
      const machine = await stage.database.machine(userId);
      return machine?.phase === 'ready' && (await stage.lines(userId, 'runs.txt')).length > 0;
    });
    await branch.client.cancelTurn({ userId, turnId: 'long' });
  }

  async function expectCancelled(scene: Scene): Promise<void> {
    const turn = { userId: scene.userId, turnId: 'long' };
    const result = await scene.branch.client.turnResult({ ...turn, timeoutMs: CASE_MS });
    expect(result, scene.branch.workerLog()).toMatchObject({ state: 'cancelled', errorCode: 'CANCELLED' });
    expect(await stage.database.calls(turn)).toMatchObject([{ outcome: 'cancelled' }]);
    const [command] = await stage.journal(scene.userId);
    expect(command).toMatchObject({ starts: 1, endedAtMs: expect.any(Number) as number });
    await submit(scene);
    await expectUndisturbed(scene, ['zero']);
  }

  it.for([
    'stopCommand/guest.stop:before',
    'stopCommand/guest.stop:after',
    'stopCommand/completion',
    'closeTurn/store.commit:before',
    'closeTurn/store.commit:after',
    'closeTurn/completion',
  ])('at %s ends cancelled, its command dead', { timeout: CASE_MS }, async (point) => {
    await withScene(async (scene) => {
      await scene.arm(point);
      await cancelMidCommand(scene);
      await scene.succeed();
      await expectCancelled(scene);
    });
  });
});

describe.concurrent('a user whose worker is killed while they are destroyed', () => {
  it.for([
    'destroyMachine/machines.destroy:before',
    'destroyMachine/machines.destroy:after',
    'destroyMachine/completion',
  ])('at %s is destroyed, machine and all', { timeout: CASE_MS }, async (point) => {
    await withScene(async (scene) => {
      const { branch, userId } = scene;
      await scene.arm(point);
      await submit(scene, 'earlier', '$ echo earlier');
      await branch.client.turnResult({ userId, turnId: 'earlier', timeoutMs: CASE_MS });
      const machineId = await stage.machineId(userId);
      await branch.client.destroyUser({ userId });
      await scene.succeed();
      await waitFor(
        'the user is destroyed',
        async () => (await branch.client.getUser({ userId })).state === 'destroyed',
      );
      // The provider has committed to it by then, and takes its time.
      await untilProvider(stage, machineId, 'destroyed');
      await expect(submit(scene)).rejects.toMatchObject({ code: 'USER_DESTROYED' });
    });
  });
});

/** Not beside the others: these faults cannot be bound to a machine that does not exist yet. */
describe('a turn whose worker is killed while the provider has yet to answer', () => {
  afterEach(async () => {
    await stage.stack.emulator.call('DELETE', '/_emulator/faults');
    await stage.stack.emulator.call('PUT', '/_emulator/settings', { executionMs: 0 });
  });

  it('to a create gets the machine that was made', { timeout: CASE_MS }, async () => {
    await withScene(async (scene) => {
      const mark = await stage.provider.mark();
      const fault = { kind: 'delay', at: 'after', delayMs: 3_000, match: { route: 'machines.create' } };
      await stage.stack.emulator.call('POST', '/_emulator/faults', fault);
      await scene.arm();
      await submit(scene);
      await waitFor('a machine is made', async () =>
        (await stage.provider.ledger(mark)).some(({ kind }) => kind === 'machine.created'),
      );
      scene.kill();
      await scene.succeed();
      await expectUndisturbed(scene);
    });
  });

  it('to a bootstrap ends undisturbed', { timeout: CASE_MS }, async () => {
    await withScene(async (scene) => {
      await stage.stack.emulator.call('PUT', '/_emulator/settings', { executionMs: 1_500 });
      await scene.arm();
      await submit(scene);
      await waitFor('the bootstrap is asked for', async () => {
        const machine = await stage.database.machine(scene.userId);
        const entries = await stage.provider.ledger(0);
        const executions = entries.filter(({ kind, machineId }) => {
          return kind === 'execution.created' && machineId === machine?.machineId;
        });
        return machine?.phase === 'bootstrapping' && executions.length > 0;
      });
      scene.kill();
      await stage.stack.emulator.call('PUT', '/_emulator/settings', { executionMs: 0 });
      await scene.succeed();
      await expectUndisturbed(scene);
    });
  });
});
