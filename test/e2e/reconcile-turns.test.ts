/**
 * What nobody looks after any more is found by the reconciler and handed to its lane: turns whose signal was lost, turns whose lane
 * does not run, cancels and destructions that nothing came of. Method: the record is written without its signal, lanes are
 * terminated; the guest's files and journal, Postgres and Temporal say what came of it.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { laneWorkflowId } from '../../src/contracts/ids.js';
import { admitTurn, requestCancel } from '../../src/store/admission.js';
import { createPool, type Store } from '../../src/store/pool.js';
import { requestDestroy } from '../../src/store/users.js';
import { waitFor } from '../support/wait-for.js';
import { endOf, say, untilPhase, untilWritten } from './support/actions.js';
import { openLanes, type Lanes } from './support/lane-handle.js';
import { createReconciler, isOf, reportedOf, SOON, untilProvider, type Reconciler } from './support/reconcile.js';
import { leakedMachines, openStage, type Stage } from './support/stage.js';

const CASE_MS = 170_000;

let stage: Stage;
let lanes: Lanes;
let store: Store;
let reconciler: Reconciler;
beforeAll(async () => {
  stage = await openStage({ env: SOON });
  lanes = await openLanes(stage.temporalAddress);
  store = createPool({ url: stage.databaseUrl, poolMax: 2, applicationName: 'innkeeper-test' });
  reconciler = createReconciler(stage, lanes);
});
afterAll(async () => {
  expect(await leakedMachines(stage)).toEqual([]);
  await store.end();
  await lanes.close();
  await stage.close();
});

/** A turn as a backend stores it, and the signal that follows lost. */
function admitUnheard(userId: string, turnId: string, prompt: string): Promise<unknown> {
  return admitTurn(store, { userId, workflowId: laneWorkflowId(userId), turnId, prompt, openTurnsMax: 20 });
}

/** Signals of the lane's run of the moment, oldest first. */
async function signalsOf(userId: string): Promise<string[]> {
  const { events } = await lanes.of(userId).fetchHistory();
  return (events ?? []).flatMap((event) => event.workflowExecutionSignaledEventAttributes?.signalName ?? []);
}

async function expectOver(userId: string, kind: string): Promise<void> {
  await waitFor(`the finding ${kind} of ${userId} is over`, async () => {
    await reconciler.run();
    const rows = (await reconciler.rows({ userId })).filter((row) => row.kind === kind);
    return rows.length > 0 && rows.every(({ isOver }) => isOver);
  });
}

describe.concurrent('a turn that was admitted', () => {
  it('and whose signal was lost is answered once, for a user without a lane', { timeout: CASE_MS }, async () => {
    const userId = 'never-told';
    await admitUnheard(userId, 'first', '$ echo one >> ~/runs.txt');
    await admitUnheard(userId, 'second', '$ echo two >> ~/runs.txt');
    const finding = await reconciler.until('the lost signal', isOf(userId, 'signal_lost'));
    expect(finding).toMatchObject({ subject: 'first', action: 'enqueueTurn', outcome: 'done' });
    for (const turnId of ['first', 'second']) {
      expect(await endOf(stage.stack.client, { userId, turnId })).toMatchObject({ state: 'completed' });
    }
    expect(await stage.lines(userId, 'runs.txt')).toEqual(['one', 'two']);
    expect(await stage.database.turns(userId)).toMatchObject([{ ends: 1 }, { ends: 1 }]);
    await expectOver(userId, 'signal_lost');
    // Who looks again before the lane has come to the second one finds that lost as well.
    const rows = await reconciler.rows({ userId });
    const told = { kind: 'signal_lost', userId, action: 'enqueueTurn', outcome: 'done' };
    expect(rows).toMatchObject(['first', 'second'].slice(0, rows.length).map((subject) => ({ ...told, subject })));
    expect(rows).not.toEqual([]);
  });

  it('and whose signal was lost is answered once, for a user whose lane is idle', { timeout: CASE_MS }, async () => {
    const userId = 'told-once';
    await say(stage.stack.client, { userId, turnId: 'heard', prompt: '$ echo one >> ~/runs.txt' });
    await admitUnheard(userId, 'unheard', '$ echo two >> ~/runs.txt');
    await reconciler.until('the lost signal', isOf(userId, 'signal_lost'));
    expect(await endOf(stage.stack.client, { userId, turnId: 'unheard' })).toMatchObject({ state: 'completed' });
    expect(await stage.lines(userId, 'runs.txt')).toEqual(['one', 'two']);
    expect(await lanes.runs(userId)).toHaveLength(1);
  });

  it('and refused stays refused: nobody is told of it', { timeout: CASE_MS }, async () => {
    const userId = 'unheard-refused';
    const { client } = stage.stack;
    await say(client, { userId, turnId: 'taken', prompt: 'hello' });
    // While it waited, a reconcile of another case may have told its lane of it; the next one sees that this is over.
    await reconciler.run();
    const before = await reconciler.rows({ userId });
    const heard = await signalsOf(userId);
    await expect(client.submitTurn({ userId, turnId: 'taken', prompt: 'other words' })).rejects.toMatchObject({
      code: 'TURN_ID_REUSED',
    });
    await lanes.of(userId).signal('enqueueTurn', { turnId: 'taken', prompt: 'by signal, other words' });
    await waitFor('the refusal is on record', async () => {
      const rows = await stage.sql('select 1 from rejected_messages where user_id = $1', [userId]);
      return rows.length === 1;
    });
    expect(reportedOf(await reconciler.run(), userId)).toEqual([]);
    expect(await reconciler.rows({ userId })).toEqual(before);
    expect(await stage.database.turns(userId)).toHaveLength(1);
    expect(await signalsOf(userId)).toEqual([...heard, 'enqueueTurn']);
  });
});

describe.concurrent('a running turn', () => {
  it('whose lane was terminated in mid command is taken up again, and ends once', { timeout: CASE_MS }, async () => {
    const userId = 'unheard-terminated';
    const prompt = '$ echo one >> ~/runs.txt; sleep 2; echo over\n$ echo two >> ~/runs.txt';
    await stage.stack.client.submitTurn({ userId, turnId: 'turn', prompt });
    await untilWritten(stage, userId, 'runs.txt');
    await lanes.of(userId).terminate('an operator did it');
    const finding = await reconciler.until('the lane', isOf(userId, 'lane_not_running'));
    expect(finding).toMatchObject({
      subject: 'turn',
      action: 'enqueueTurn',
      reason: 'lane_not_running',
      outcome: 'done',
    });
    expect(await endOf(stage.stack.client, { userId, turnId: 'turn' })).toMatchObject({ state: 'completed' });
    expect(await stage.lines(userId, 'runs.txt')).toEqual(['one', 'two']);
    expect((await stage.journal(userId)).map(({ starts }) => starts)).toEqual([1, 1]);
    expect(await stage.database.turns(userId)).toMatchObject([{ ends: 1 }]);
    expect(await lanes.runs(userId)).toHaveLength(2);
    await expectOver(userId, 'lane_not_running');
  });

  it('whose lane is at work is left alone, however long it is silent', { timeout: CASE_MS }, async () => {
    const userId = 'at-work';
    await stage.stack.client.submitTurn({ userId, turnId: 'turn', prompt: '$ touch ~/begun; sleep 5; echo over' });
    await untilWritten(stage, userId, 'begun', 0);
    // By now the newest event is older than what counts as quiet.
    await waitFor('it is quiet', async () => {
      const [row] = await stage.sql<{ is_quiet: boolean }>(
        `select max(at) < clock_timestamp() - interval '1 second' as is_quiet from turn_events where user_id = $1`,
        [userId],
      );
      return row?.is_quiet;
    });
    expect(reportedOf(await reconciler.run(), userId)).toEqual([]);
    expect(await endOf(stage.stack.client, { userId, turnId: 'turn' })).toMatchObject({ state: 'completed' });
    // While it waited, a reconcile of another case may have told its lane of it.
    expect((await reconciler.rows({ userId })).filter(({ kind }) => kind !== 'signal_lost')).toEqual([]);
  });

  it('whose cancel went unheard is cancelled, with its command', { timeout: CASE_MS }, async () => {
    const userId = 'uncancelled';
    const turn = { userId, turnId: 'turn', prompt: '$ echo one >> ~/runs.txt; sleep 120; echo over' };
    await stage.stack.client.submitTurn(turn);
    await untilWritten(stage, userId, 'runs.txt');
    await requestCancel(store, turn);
    const finding = await reconciler.until('the cancel', isOf(userId, 'cancel_lost'));
    expect(finding).toMatchObject({ subject: 'turn', action: 'cancelTurn', outcome: 'done' });
    expect(await endOf(stage.stack.client, turn)).toMatchObject({ state: 'cancelled', errorCode: 'CANCELLED' });
    expect((await stage.database.calls(turn))[0]).toMatchObject({ outcome: 'cancelled' });
  });
});

describe.concurrent('a user who is to be destroyed', () => {
  it.each(['running', 'terminated'])(
    'and whose lane, %s, never heard of it is destroyed with the machine',
    { timeout: CASE_MS },
    async (lane) => {
      const userId = `undestroyed-${lane}`;
      await say(stage.stack.client, { userId, turnId: 'turn', prompt: 'hello' });
      await untilPhase(stage, userId, 'ready');
      const machineId = await stage.machineId(userId);
      if (lane === 'terminated') await lanes.of(userId).terminate('an operator did it');
      await requestDestroy(store, userId);
      const finding = await reconciler.until('the destruction', isOf(userId, 'destroy_unfinished'));
      expect(finding).toMatchObject({ subject: laneWorkflowId(userId), action: 'look', outcome: 'done' });
      await untilProvider(stage, machineId, 'destroyed');
      await waitFor('the user is destroyed', async () => {
        return (await stage.stack.client.getUser({ userId })).state === 'destroyed';
      });
      // Whoever is told after the end tells nobody: no message was sent that could be refused.
      expect(await stage.sql('select 1 from rejected_messages where user_id = $1', [userId])).toEqual([]);
    },
  );
});
