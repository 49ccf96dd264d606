/**
 * The same life of a user on the provider's newer APIs: flat bodies without a revision (g5), and executions only, with bare ids
 * (g6). Workflow ids are hashed here, and machines fall asleep by the users' own idle time.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { workflowIdOf } from '../../src/store/lane-ids.js';
import { waitFor } from '../support/wait-for.js';
import { endOf, say, untilPhase, untilWritten } from './support/actions.js';
import { textOf } from '../workflow/support/history.js';
import { openLanes, type Lanes } from './support/lane-handle.js';
import { createReconciler, isAbout, isOf, makeStray, SOON, untilProvider } from './support/reconcile.js';
import { leakedMachines, openStage, type Stage } from './support/stage.js';
import { accepted, makeTrouble, mostAlive, ofMachine, sleepNow, unstruck } from './support/trouble.js';

const WORKFLOW_ID_KEY = 'a key of this test, long enough to be one';
const IDLE_MS = 1_000;

describe.each(['g5', 'g6'] as const)('on %s', (profile) => {
  let stage: Stage;
  let lanes: Lanes;
  let stray: string | undefined;
  beforeAll(async () => {
    stage = await openStage({ profile, env: { WORKFLOW_ID_KEY, ...SOON }, client: { workflowIdKey: WORKFLOW_ID_KEY } });
    lanes = await openLanes(stage.temporalAddress);
  });
  afterAll(async () => {
    expect((await leakedMachines(stage)).filter((id) => id !== stray)).toEqual([]);
    await lanes.close();
    await stage.close();
  });

  let turns = 0;
  const tell = (userId: string, prompt: string) =>
    say(stage.stack.client, { userId, turnId: `turn-${(turns += 1)}`, prompt });

  it('a user is answered, falls asleep when idle, and wakes with everything in place', async () => {
    const userId = `ada-${profile}`;
    const { client } = stage.stack;
    await client.createUser({ userId, idleMs: IDLE_MS });
    expect((await client.getUser({ userId })).workflowId).toBe(workflowIdOf(userId, WORKFLOW_ID_KEY));
    const first = await tell(userId, '$ mkdir -p ~/work && cd ~/work && export COLOR=green\n$ echo one > file; pwd');
    expect(first, stage.stack.workerLog()).toMatchObject({ state: 'completed', toolCalls: 2 });
    expect(first.answer).toMatch(/\/work\b/);
    const machineId = await stage.machineId(userId);
    await untilPhase(stage, userId, 'asleep');
    expect(await stage.provider.machine(machineId)).toMatchObject({ phase: 'sleeping' });

    const second = await tell(userId, '$ cat file; echo $COLOR; pwd');
    expect(second, stage.stack.workerLog()).toMatchObject({ state: 'completed' });
    expect(second.answer).toContain('one\ngreen\n');
    expect(await stage.machineId(userId)).toBe(machineId);
    expect((await stage.journal(userId)).map(({ starts, exitCode }) => [starts, exitCode])).toEqual([
      [1, 0],
      [1, 0],
      [1, 0],
    ]);
    // Nothing that names the user reaches Temporal or the provider.
    expect(workflowIdOf(userId, WORKFLOW_ID_KEY)).not.toContain(userId);
  });

  it('a running command is cancelled with all its processes, and the next turn runs', async () => {
    const userId = `grace-${profile}`;
    const turn = { userId, turnId: 'long', prompt: '$ (while :; do echo tick >> ~/ticks.txt; sleep 0.05; done)' };
    await stage.stack.client.submitTurn(turn);
    await untilWritten(stage, userId, 'ticks.txt', 3);
    await stage.stack.client.cancelTurn(turn);
    expect(await endOf(stage.stack.client, turn)).toMatchObject({ state: 'cancelled', errorCode: 'CANCELLED' });
    expect(await stage.database.calls(turn)).toMatchObject([{ outcome: 'cancelled' }]);
    const next = await tell(userId, '$ pgrep -f tick[s] | wc -l');
    expect(next, stage.stack.workerLog()).toMatchObject({ state: 'completed' });
    expect(next.answer).toMatch(/^0$/m);
  });

  it('a wake and a sleep whose answers are lost are done once, and the next ones are done again', async () => {
    const userId = `joan-${profile}`;
    await tell(userId, '$ echo here');
    const machineId = await stage.machineId(userId);
    for (const route of ['machines.wake', 'machines.sleep', 'machines.wake', 'machines.sleep']) {
      const since = await stage.provider.mark();
      await makeTrouble(stage, { kind: 'response-lost', route }, userId);
      await sleepNow(stage, userId);
      expect(await tell(userId, '$ echo awake'), stage.stack.workerLog()).toMatchObject({ state: 'completed' });
      expect(await unstruck(stage, userId)).toEqual([]);
      const ledger = await stage.provider.ledger(since);
      expect(ofMachine(ledger, machineId, 'machine.boot')).toHaveLength(1);
      expect(await accepted(stage, { route: 'machines.wake', machineId, since })).toBeLessThanOrEqual(1);
    }
  });

  it('a machine that is deleted behind our back is replaced', async () => {
    const userId = `mary-${profile}`;
    await tell(userId, '$ echo lost > ~/file');
    const before = await stage.machineId(userId);
    await stage.stack.emulator.call('POST', `/_emulator/machines/${before}/delete`);
    const result = await tell(userId, '$ cat ~/file || echo nothing here');
    expect(result, stage.stack.workerLog()).toMatchObject({ state: 'completed' });
    // Where the command was sent before the loss was known it is said to be unknown; it is never run twice.
    expect(await stage.machineId(userId)).not.toBe(before);
    expect(await mostAlive(stage, userId)).toBe(1);
  });

  it('a destroyed user leaves no machine', async () => {
    const userId = `edith-${profile}`;
    await tell(userId, '$ echo here');
    const machineId = await stage.machineId(userId);
    await stage.stack.client.destroyUser({ userId });
    await waitFor('the machine is gone', async () => (await stage.provider.machine(machineId)).phase === 'destroyed');
  });

  it('a reconcile finds what is gone and what is nobody’s, and tells Temporal of no user', async () => {
    const userId = `hopper-${profile}`;
    const reconciler = createReconciler(stage, lanes);
    await tell(userId, '$ true');
    const machineId = await stage.machineId(userId);
    expect((await reconciler.run()).findings.map(({ kind }) => kind)).not.toContain('unknown_machine');
    stray = await makeStray(stage);
    await stage.stack.emulator.call('POST', `/_emulator/machines/${machineId}/delete`);
    await reconciler.until('the loss', isOf(userId, 'machine_gone'));
    await untilPhase(stage, userId, 'failed');
    const isIt = isAbout(stray, 'unknown_machine');
    await reconciler.until('the end of the stray', (row) => isIt(row) && row.outcome === 'done');
    await untilProvider(stage, stray, 'destroyed');
    expect(await tell(userId, '$ true')).toMatchObject({ state: 'completed' });
    expect(await stage.database.machine(userId)).toMatchObject({ generation: 2 });
    const query = `WorkflowType = "reconcile" AND TaskQueue = "${stage.stack.taskQueue}"`;
    const histories = await waitFor('the reconciles are listed', async () => {
      const texts: string[] = [];
      for await (const { workflowId } of lanes.client.workflow.list({ query })) {
        texts.push(textOf((await lanes.client.workflow.getHandle(workflowId).fetchHistory()).events));
      }
      return texts.some((text) => text.includes('machine_gone')) ? texts : undefined;
    });
    for (const text of histories) expect(text).not.toContain(userId);
  });
});
