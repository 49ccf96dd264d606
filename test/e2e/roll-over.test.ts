/**
 * Lanes that continue as new under load, with everything real: no turn is lost, doubled or out of order, between turns and between
 * the steps of one turn.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HISTORY_EVENTS_MAX } from '../../src/contracts/limits.js';
import { endOf, say } from './support/actions.js';
import { openLanes, type Lanes } from './support/lane-handle.js';
import { leakedMachines, openStage, type Stage } from './support/stage.js';

const USERS = ['ann', 'ben', 'cid'];
/** About 26 events each: a lane passes HISTORY_EVENTS_MAX once and begins the next run. */
const TURNS = 30;
const STEPS_OF_LONG_TURN = 30;
const CASE_MS = 170_000;

let stage: Stage;
let lanes: Lanes;
beforeAll(async () => {
  stage = await openStage({ client: { openTurnsMax: 1_000 }, workers: 2 });
  lanes = await openLanes(stage.temporalAddress);
});
afterAll(async () => {
  expect(await leakedMachines(stage)).toEqual([]);
  await lanes.close();
  await stage.close();
});

describe('a lane whose history grows long', () => {
  it('rolls over between turns while more arrive, and keeps their order', { timeout: CASE_MS }, async () => {
    const { client } = stage.stack;
    const ids = Array.from({ length: TURNS }, (_, index) => `t${String(index).padStart(3, '0')}`);
    await Promise.all(
      USERS.map(async (userId) => {
        for (const turnId of ids) {
          await client.submitTurn({ userId, turnId, prompt: `$ echo ${turnId} >> ~/order.txt` });
          // Signals of every kind arrive meanwhile; none of them may get lost or in the way.
          if (turnId.endsWith('7')) await client.wakeNow({ userId });
          if (turnId.endsWith('9')) await lanes.of(userId).signal('enqueueTurn', { nonsense: turnId });
        }
        for (const turnId of ids) expect(await endOf(client, { userId, turnId })).toMatchObject({ state: 'completed' });
        expect(await stage.lines(userId, 'order.txt')).toEqual(ids);
        expect((await stage.journal(userId)).map(({ starts }) => starts)).toEqual(ids.map(() => 1));
        expect((await stage.database.turns(userId)).map(({ turnId, ends }) => `${turnId} ${ends}`)).toEqual(
          ids.map((turnId) => `${turnId} 1`),
        );
        expect((await lanes.runs(userId)).length).toBeGreaterThan(1);
        expect(await stage.creations(userId)).toHaveLength(1);
      }),
    );
    const rejected = await stage.sql<{ code: string }>('select code from rejected_messages');
    expect(rejected).toHaveLength(USERS.length * (TURNS / 10));
    expect(new Set(rejected.map(({ code }) => code))).toEqual(new Set(['INVALID_TURN_ID']));
  });

  it('rolls over in the middle of a turn of many steps', { timeout: CASE_MS }, async () => {
    const userId = 'long';
    const { client } = stage.stack;
    const command = (index: number): string => `$ echo ${index} >> ~/steps.txt`;
    const steps = Array.from({ length: STEPS_OF_LONG_TURN }, (_, index) => index);
    // Two of them are longer than one history: at least one roll-over falls between two steps.
    for (const turnId of ['one', 'two']) {
      const result = await say(client, { userId, turnId, prompt: steps.map(command).join('\n') });
      expect(result, stage.stack.workerLog()).toMatchObject({ state: 'completed', toolCalls: steps.length });
    }
    const lines = steps.map(String);
    expect(await stage.lines(userId, 'steps.txt')).toEqual([...lines, ...lines]);
    expect((await stage.journal(userId)).every(({ starts }) => starts === 1)).toBe(true);
    const turns = await stage.database.turns(userId);
    const runs = await lanes.runs(userId);
    const inMidTurn = runs.filter(({ startTime }) =>
      turns.some(({ startedAt, endedAt }) => startedAt && endedAt && startedAt < startTime && startTime < endedAt),
    );
    expect(inMidTurn.length, JSON.stringify({ runs, turns })).toBeGreaterThan(0);
    const { historyLength } = await lanes.of(userId).describe();
    expect(historyLength).toBeLessThan(HISTORY_EVENTS_MAX * 1.2);
  });
});
