/**
 * A lane that is terminated, cancelled or reset in mid command, and a lane whose worker is frozen while another takes over: nothing
 * is lost, nothing runs twice, and the older one writes nothing.
 *
 * Method: the operator's own Temporal client does it to the lane; the counter in the guest, its journal and Postgres say what came
 * of it. Every command of these turns adds one line to a file.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../support/wait-for.js';
import { endOf, say, untilWritten } from './support/actions.js';
import { openLanes, type Lanes } from './support/lane-handle.js';
import { leakedMachines, openStage, type Stage } from './support/stage.js';
import { makeTrouble, sleepNow, unstruck } from './support/trouble.js';

const PROMPT = '$ echo one >> ~/runs.txt; sleep 3; echo over\n$ echo two >> ~/runs.txt';
const CASE_MS = 170_000;

let stage: Stage;
let lanes: Lanes;
beforeAll(async () => {
  stage = await openStage();
  lanes = await openLanes(stage.temporalAddress);
});
afterAll(async () => {
  expect(await leakedMachines(stage)).toEqual([]);
  await lanes.close();
  await stage.close();
});

/** A turn in the middle of its first command, and one more that waits. */
async function inMidCommand(userId: string, client = stage.stack.client): Promise<void> {
  await client.submitTurn({ userId, turnId: 'turn', prompt: PROMPT });
  await client.submitTurn({ userId, turnId: 'next', prompt: '$ echo three >> ~/runs.txt' });
  await untilWritten(stage, userId, 'runs.txt');
}

/** Numbers a try of the turn's running call, as an attempt does that a frozen worker begins late, once a newer one has begun. */
async function overtake({ userId, turnId }: { userId: string; turnId: string }, when: string): Promise<void> {
  await waitFor(`a try of a call that ${when} is overtaken`, async () => {
    const overtaken = await stage.sql(
      `update tool_calls c set try = try + 1 from turns t
       where t.turn_key = c.turn_key and t.user_id = $1 and t.turn_id = $2 and c.try > 0 and c.outcome is null and ${when} returning 1`,
      [userId, turnId],
    );
    return overtaken.length === 1;
  });
}

/** Both turns are answered, each command ran once and after the one before it. `first`: outcomes that the cut command may have. */
async function expectWhole(userId: string, first: readonly string[], client = stage.stack.client): Promise<void> {
  for (const turnId of ['turn', 'next']) {
    expect(await endOf(client, { userId, turnId })).toMatchObject({ state: 'completed', errorCode: null });
  }
  expect(await stage.lines(userId, 'runs.txt')).toEqual(['one', 'two', 'three']);
  const journal = await stage.journal(userId);
  expect(journal.map(({ starts }) => starts)).toEqual([1, 1, 1]);
  journal.slice(1).forEach((command, index) => {
    expect(command.startedAtMs).toBeGreaterThanOrEqual(journal[index]?.endedAtMs ?? Infinity);
  });
  const [cut, ...others] = await stage.database.calls({ userId, turnId: 'turn' });
  expect(first).toContain(cut?.outcome);
  expect(others).toMatchObject([{ outcome: 'exited', exitCode: 0 }]);
  const transcript = await stage.transcript({ userId, turnId: 'turn' });
  expect(transcript.map(({ kind, step }) => ({ kind, step })).filter(({ kind }) => kind !== 'note')).toEqual([
    { kind: 'user', step: null },
    ...[0, 1, 2].map((step) => ({ kind: 'assistant', step })),
  ]);
  expect(await stage.database.turns(userId)).toMatchObject([{ ends: 1 }, { ends: 1 }]);
  expect(await stage.creations(userId)).toHaveLength(1);
}

describe.concurrent('a lane in mid command', () => {
  it(
    'that is terminated is taken up by the next signal; its command is stopped, told, and not run again',
    { timeout: CASE_MS },
    async () => {
      const userId = 'terminated';
      await inMidCommand(userId);
      await lanes.of(userId).terminate('an operator did it');
      // The sender repeats what is still open, which is how it is told to the lane again.
      await stage.stack.client.submitTurn({ userId, turnId: 'next', prompt: '$ echo three >> ~/runs.txt' });
      await expectWhole(userId, ['interrupted']);
      expect(await lanes.runs(userId)).toHaveLength(2);
    },
  );

  it(
    'that is cancelled stops its command and ends; the turn stays open, and the next signal resumes it',
    { timeout: CASE_MS },
    async () => {
      const userId = 'cancelled';
      await inMidCommand(userId);
      const handle = lanes.of(userId);
      await handle.cancel();
      await waitFor('the run ends', async () => (await handle.describe()).status.name === 'CANCELLED');
      expect(await stage.database.turns(userId)).toMatchObject([{ state: 'running' }, { state: 'queued' }]);
      const [command] = await stage.journal(userId);
      expect(command).toMatchObject({ starts: 1, endedAtMs: expect.any(Number) as number });
      await stage.stack.client.submitTurn({ userId, turnId: 'next', prompt: '$ echo three >> ~/runs.txt' });
      await expectWhole(userId, ['interrupted']);
    },
  );

  it('that is reset to its beginning reads Postgres again and goes on', { timeout: CASE_MS }, async () => {
    const userId = 'reset';
    await inMidCommand(userId);
    const handle = lanes.of(userId);
    const { workflowId, runId } = await handle.describe();
    const { events } = await handle.fetchHistory();
    const first = events?.find((event) => event.workflowTaskCompletedEventAttributes);
    await lanes.client.workflowService.resetWorkflowExecution({
      namespace: 'default',
      workflowExecution: { workflowId, runId },
      reason: 'an operator did it',
      workflowTaskFinishEventId: first?.eventId ?? null,
      requestId: `reset-${userId}-${process.pid}`,
    });
    await expectWhole(userId, ['interrupted', 'exited']);
    expect(await lanes.runs(userId)).toHaveLength(2);
  });

  it(
    'whose worker is frozen is finished by another; the frozen one writes nothing when it thaws',
    { timeout: CASE_MS },
    async () => {
      const userId = 'frozen-step';
      const branch = stage.stack.openBranch();
      const zombie = await branch.startWorker();
      try {
        await inMidCommand(userId, branch.client);
        zombie.signal('SIGSTOP');
        await branch.startWorker();
        await expectWhole(userId, ['exited'], branch.client);
        const before = await recordOf(userId);
        zombie.signal('SIGCONT');
        await thawed(userId, branch);
        expect(await recordOf(userId, before.length)).toEqual(before);
      } finally {
        zombie.signal('SIGCONT');
        await branch.stop();
      }
    },
  );

  it(
    'whose newest attempt is overtaken by an older one, before it sends the command or while that runs, makes another',
    { timeout: CASE_MS },
    async () => {
      const userId = 'overtaken';
      const turn = { userId, turnId: 'turn' };
      await say(stage.stack.client, { userId, turnId: 'first', prompt: '$ true' });
      await sleepNow(stage, userId);
      // Between the number of the try and the submission lies the opening of a terminal.
      await makeTrouble(stage, { kind: 'delay', at: 'after', delayMs: 1_500, route: 'terminals.create' }, userId);
      await stage.stack.client.submitTurn({ ...turn, prompt: PROMPT });
      await waitFor('a terminal is being opened', async () => (await unstruck(stage, userId)).length === 0);
      await overtake(turn, 'submitted_at is null');
      await untilWritten(stage, userId, 'runs.txt');
      await overtake(turn, 'submitted_at is not null');
      expect(await endOf(stage.stack.client, turn)).toMatchObject({ state: 'completed', errorCode: null });
      expect(await stage.lines(userId, 'runs.txt')).toEqual(['one', 'two']);
      // Numbered five times: three attempts of its own.
      expect(await stage.database.calls(turn)).toMatchObject([
        { outcome: 'exited', exitCode: 0, tries: 5 },
        { outcome: 'exited', exitCode: 0 },
      ]);
      const resumed = `select from turn_events where user_id = $1 and body->>'type' = 'turn.resumed'`;
      expect(await stage.sql(resumed, [userId])).toEqual([]);
    },
  );

  it(
    'whose worker is frozen, and that is terminated, is taken up by a second lane; the first is fenced out',
    { timeout: CASE_MS },
    async () => {
      const userId = 'frozen-lane';
      const branch = stage.stack.openBranch();
      const zombie = await branch.startWorker();
      try {
        await inMidCommand(userId, branch.client);
        zombie.signal('SIGSTOP');
        await lanes.of(userId).terminate('an operator did it');
        await branch.startWorker();
        await branch.client.submitTurn({ userId, turnId: 'next', prompt: '$ echo three >> ~/runs.txt' });
        await expectWhole(userId, ['interrupted', 'exited'], branch.client);
        const before = await recordOf(userId);
        zombie.signal('SIGCONT');
        await thawed(userId, branch);
        expect(await recordOf(userId, before.length)).toEqual(before);
      } finally {
        zombie.signal('SIGCONT');
        await branch.stop();
      }
    },
  );
});

/** Everything that a late writer could change: the user's events, in order, and the outcomes. */
async function recordOf(userId: string, eventsMax = Number.MAX_SAFE_INTEGER): Promise<unknown[]> {
  const events = await stage.sql(
    `select seq, body from turn_events where user_id = $1 and turn_key in
       (select turn_key from turns where user_id = $1 and turn_id in ('turn', 'next')) order by seq`,
    [userId],
  );
  return events.slice(0, eventsMax);
}

/** The thawed worker has found its way: more turns end, with it among the pollers, and the old ones keep their record. */
async function thawed(userId: string, branch: { client: typeof stage.stack.client }): Promise<void> {
  for (const turnId of ['after-1', 'after-2', 'after-3']) {
    const result = await say(branch.client, { userId, turnId, prompt: '$ echo after >> ~/after.txt' });
    expect(result).toMatchObject({ state: 'completed' });
  }
  expect(await stage.lines(userId, 'after.txt')).toEqual(['after', 'after', 'after']);
  expect(await stage.lines(userId, 'runs.txt')).toEqual(['one', 'two', 'three']);
  expect((await stage.database.turns(userId)).every(({ ends }) => ends === 1)).toBe(true);
}
