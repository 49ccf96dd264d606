/**
 * Machines of the ledger against the provider: what is gone is replaced at the next turn and not before, what is awake for nothing is
 * put to sleep by its lane. Method: things are done to machines behind our back, at the provider;
 * the provider's ledger, Postgres and the guests' files say what came of it.
 */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endOf, say, untilPhase } from './support/actions.js';
import { openLanes, type Lanes } from './support/lane-handle.js';
import {
  createReconciler,
  isAbout,
  isOf,
  makeStray,
  orphans,
  reportedOf,
  routesSince,
  SOON,
  untilProvider,
  wakeBehindOurBack,
  type Reconciler,
} from './support/reconcile.js';
import { openStage, type Stage } from './support/stage.js';
import { makeTrouble, mostAlive, ofMachine, sleepNow, unstruck } from './support/trouble.js';

const CASE_MS = 170_000;

let stage: Stage;
let lanes: Lanes;
let reconciler: Reconciler;
beforeAll(async () => {
  stage = await openStage({ env: SOON });
  lanes = await openLanes(stage.temporalAddress);
  reconciler = createReconciler(stage, lanes);
});
afterAll(async () => {
  expect(await orphans(stage)).toEqual([]);
  await lanes.close();
  await stage.close();
});

let turns = 0;
const tell = (userId: string, prompt = '$ echo run >> ~/runs.txt') =>
  say(stage.stack.client, { userId, turnId: `turn-${(turns += 1)}`, prompt });

async function withMachine(userId: string, idleMs?: number): Promise<string> {
  if (idleMs !== undefined) await stage.stack.client.createUser({ userId, idleMs });
  expect(await tell(userId), stage.stack.workerLog()).toMatchObject({ state: 'completed' });
  return stage.machineId(userId);
}

describe('a machine that is gone', () => {
  async function expectReplaced(userId: string, before: string, reason: RegExp): Promise<void> {
    // Not before somebody needs one.
    expect(await stage.creations(userId)).toHaveLength(1);
    expect(await tell(userId), stage.stack.workerLog()).toMatchObject({ state: 'completed' });
    expect(await stage.creations(userId)).toHaveLength(2);
    expect(await stage.machineId(userId)).not.toBe(before);
    expect(await stage.database.machine(userId)).toMatchObject({ generation: 2, phase: 'ready' });
    expect(await mostAlive(stage, userId)).toBe(1);
    const [note] = await stage.sql<{ text: string }>(
      `select text from transcript where user_id = $1 and kind = 'note'`,
      [userId],
    );
    expect(note?.text).toMatch(reason);
    expect(note?.text).toMatch(/Lost: files, .*\. Kept: the conversation, /);
    const events = await stage.sql<{ body: object }>(
      `select body from turn_events where user_id = $1 and body->>'type' = 'machine.replaced'`,
      [userId],
    );
    expect(events.map(({ body }) => body)).toMatchObject([
      { generation: 2, kept: expect.arrayContaining(['the conversation']), lost: expect.arrayContaining(['files']) },
    ]);
    expect(await stage.lines(userId, 'runs.txt')).toEqual(['run']);
  }

  it.each(['asleep', 'ready'])(
    'while %s is replaced at the next turn, and not before',
    { timeout: CASE_MS },
    async (phase) => {
      const userId = `deleted-${phase}`;
      const machineId = await withMachine(userId);
      if (phase === 'asleep') await sleepNow(stage, userId);
      await stage.stack.emulator.call('POST', `/_emulator/machines/${machineId}/delete`);
      const finding = await reconciler.until('the loss', isOf(userId, 'machine_gone'));
      expect(finding).toMatchObject({ subject: machineId, action: 'machineLost', outcome: 'done' });
      await untilPhase(stage, userId, 'failed');
      expect(reportedOf(await reconciler.run(), userId)).toEqual([]);
      await expectReplaced(userId, machineId, /the provider no longer has it/);
    },
  );

  it(
    'having failed at the provider, its lane terminated, is replaced at the next turn',
    { timeout: CASE_MS },
    async () => {
      const userId = 'crashed';
      const machineId = await withMachine(userId);
      await lanes.of(userId).terminate('an operator did it');
      await stage.stack.emulator.call('POST', `/_emulator/machines/${machineId}/crash`);
      await reconciler.until('the loss', isOf(userId, 'machine_gone'));
      await untilPhase(stage, userId, 'failed');
      await expectReplaced(userId, machineId, /host lost the machine/);
      await untilProvider(stage, machineId, 'destroyed');
    },
  );

  it('is not one that the provider left out, or spoiled, in its list', { timeout: CASE_MS }, async () => {
    const userId = 'listed-badly';
    const machineId = await withMachine(userId);
    const route = 'machines.list';
    for (const fault of [
      { kind: 'null-items' },
      { kind: 'status', status: 503, count: 2 },
      { kind: 'cut-json' },
      { kind: 'response-lost' },
      { kind: 'stale-read' },
    ]) {
      await makeTrouble(stage, { ...fault, route });
      const report = await reconciler.run();
      expect(report.listing, fault.kind).toBe('whole');
      expect(reportedOf(report, userId), fault.kind).toEqual([]);
      expect(await unstruck(stage), fault.kind).toEqual([]);
    }
    expect(await reconciler.rows({ subject: machineId })).toEqual([]);
    expect(await stage.database.machine(userId)).toMatchObject({ generation: 1, phase: 'ready' });
  });

  it(
    'is not said of any where the list cannot be had; turns are looked after all the same',
    { timeout: CASE_MS },
    async () => {
      const userId = 'unlisted';
      const machineId = await withMachine(userId);
      await stage.stack.emulator.call('POST', `/_emulator/machines/${machineId}/delete`);
      await makeTrouble(stage, { kind: 'status', status: 403, route: 'machines.list' });
      const report = await reconciler.run();
      expect(report).toMatchObject({ listing: 'PROVIDER_UNAUTHORIZED', machines: 0 });
      expect(report.users).toBeGreaterThan(0);
      expect(reportedOf(report, userId)).toEqual([]);
      await reconciler.until('the loss', isOf(userId, 'machine_gone'));
    },
  );

  it('came back with an empty disk, and is replaced at the next turn', { timeout: CASE_MS }, async () => {
    const userId = 'wiped';
    const machineId = await withMachine(userId);
    const home = await stage.home(userId);
    await sleepNow(stage, userId);
    rmSync(home, { recursive: true });
    await expectReplaced(userId, machineId, /its disk was lost/);
    await untilProvider(stage, machineId, 'destroyed');
  });
});

describe('a machine that is awake with no reason', () => {
  it('because its lane was terminated is put to sleep by its lane', { timeout: CASE_MS }, async () => {
    const userId = 'left-awake';
    const machineId = await withMachine(userId, 1_000);
    await lanes.of(userId).terminate('an operator did it');
    const finding = await reconciler.until('the sleeper', isOf(userId, 'awake_without_reason'));
    expect(finding).toMatchObject({
      subject: machineId,
      action: 'sleepNow',
      reason: 'lane_not_running',
      outcome: 'done',
    });
    await untilProvider(stage, machineId, 'sleeping');
    await untilPhase(stage, userId, 'asleep');
    expect(await tell(userId)).toMatchObject({ state: 'completed' });
    expect(await stage.lines(userId, 'runs.txt')).toEqual(['run', 'run']);
  });

  it('because somebody woke it is put to sleep by its lane, and metered', { timeout: CASE_MS }, async () => {
    const userId = 'woken';
    const machineId = await withMachine(userId);
    await sleepNow(stage, userId);
    await wakeBehindOurBack(stage, machineId);
    const since = await stage.provider.mark();
    const finding = await reconciler.until('the sleeper', isOf(userId, 'awake_without_reason'));
    expect(finding).toMatchObject({
      subject: machineId,
      action: 'sleepNow',
      reason: 'asleep_by_ledger',
      outcome: 'done',
    });
    await untilProvider(stage, machineId, 'sleeping');
    await untilPhase(stage, userId, 'asleep');
    const intervals = await stage.sql<{ ended_at: Date | null }>(
      'select ended_at from awake_intervals where user_id = $1',
      [userId],
    );
    expect(intervals).toHaveLength(2);
    expect(intervals.every(({ ended_at: endedAt }) => endedAt !== null)).toBe(true);
    expect(ofMachine(await stage.provider.ledger(since), machineId, 'machine.boot')).toEqual([]);
  });

  it('is not one whose idle time is not over, or whose turn is open', { timeout: CASE_MS }, async () => {
    const idle = await withMachine('idle', 600_000);
    const busy = { userId: 'awake-busy', turnId: 'turn', prompt: '$ touch ~/begun; sleep 4' };
    await stage.stack.client.createUser({ userId: busy.userId, idleMs: 100 });
    await stage.stack.client.submitTurn(busy);
    await untilPhase(stage, busy.userId, 'ready');
    const { findings } = await reconciler.run();
    expect(findings.filter(({ kind }) => kind === 'awake_without_reason')).toEqual([]);
    expect(await stage.provider.machine(idle)).toMatchObject({ phase: 'running' });
    await endOf(stage.stack.client, busy);
    await untilPhase(stage, busy.userId, 'asleep');
  });
});

describe('looking', () => {
  it(
    'wakes no machine, asks the provider for lists and states only, and a dry run changes nothing',
    { timeout: CASE_MS },
    async () => {
      const sleeper = await withMachine('sleeper');
      await sleepNow(stage, 'sleeper');
      const gone = await withMachine('gone-dry');
      await stage.stack.emulator.call('POST', `/_emulator/machines/${gone}/delete`);
      await untilProvider(stage, gone, 'destroyed');
      const stray = await makeStray(stage);
      const since = await stage.provider.mark();
      const counts = () =>
        stage.sql(`select (select count(*) from reconcile_findings) as findings,
        (select count(*) from reconcile_sightings) as sightings, (select max(seq) from turn_events) as seq`);
      const before = await counts();
      const { historyLength } = await lanes.of('gone-dry').describe();
      const report = await reconciler.run({ isDryRun: true });
      expect(reportedOf(report, 'gone-dry')).toMatchObject([{ kind: 'machine_gone', outcome: 'dry_run' }]);
      expect(report.findings.filter(isAbout(stray, 'unknown_machine'))).toMatchObject([
        { action: 'wait', outcome: 'none' },
      ]);
      // A worker may still be putting away the terminal of a machine that was deleted.
      const routes = (await routesSince(stage, since)).filter((route) => route !== 'terminals.delete');
      expect(routes).toEqual(['machines.get', 'machines.list']);
      expect(await counts()).toEqual(before);
      expect((await lanes.of('gone-dry').describe()).historyLength).toBe(historyLength);
      expect(await stage.provider.machine(sleeper)).toMatchObject({ phase: 'sleeping' });
      expect(ofMachine(await stage.provider.ledger(since), sleeper, 'machine.phase')).toEqual([]);
      await stage.stack.emulator.call('POST', `/_emulator/machines/${stray}/delete`);
    },
  );
});
