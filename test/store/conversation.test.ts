/** Goal: the model's context is read in order and within bounds. Method: turns of known text on real Postgres. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OpenTurn } from '../../src/contracts/activities.js';
import { beginCall } from '../../src/store/calls.js';
import { loadConversation } from '../../src/store/conversation.js';
import { withTransaction } from '../../src/store/pool.js';
import { settleCall } from '../../src/store/settle.js';
import { addNote } from '../../src/store/transaction.js';
import { bash, makeReady, openLane, openStore, type TestLane, type TestStore } from './support/lanes.js';

let test: TestStore;
beforeAll(async () => {
  test = await openStore();
});
afterAll(() => test.close());

interface Bounds {
  turnsMax?: number;
  bytesMax?: number;
}
const loadAll = (turn: OpenTurn, more: Bounds = {}) =>
  loadConversation(test.store, { turnKey: turn.turnKey, turnsMax: 100, bytesMax: 1_000_000, ...more });
const load = async (turn: OpenTurn, more: Bounds = {}) => (await loadAll(turn, more)).turns;
const note = (userId: string, turnKey: string | null, said: string) =>
  withTransaction(test.store, async (tx) => addNote(tx, { userId, turnKey, text: said }));

async function talk(lane: TestLane, turnId: string, prompt: string): Promise<OpenTurn> {
  const turn = await lane.run(turnId, prompt);
  await lane.answer(turn, 0, []);
  return turn;
}

describe('loadConversation', () => {
  it('puts each result right behind the answer that asked for it, and notes where they were made', async () => {
    const lane = openLane(test.store, 'order');
    await talk(lane, 't1', 'first');
    await note('order', null, 'machine replaced');
    const turn = await lane.run('t2', 'second');
    await lane.answer(turn, 0, [bash('a'), bash('b')]);
    const { generation } = await makeReady(test.store, lane);
    const key = { turnKey: turn.turnKey, step: 0, index: 0 };
    await beginCall(test.store, { ...lane, ...key, boot: { generation, bootId: 'boot-1' } });
    await note('order', turn.turnKey, 'a note in between');
    const ended = { try: 1, outcome: 'exited', reason: null, result: { exitCode: 0 }, shown: 'output of a' } as const;
    await settleCall(test.store, { ...lane, ...key, ...ended });
    await lane.close('t2');
    const last = await lane.run('t3', 'third');
    await note('order', null, 'at the end');

    expect(await load(last)).toEqual([
      {
        turnId: 't1',
        entries: [
          { kind: 'user', text: 'first' },
          { kind: 'assistant', text: 'answer 0', toolCalls: [] },
        ],
      },
      {
        turnId: 't2',
        entries: [
          { kind: 'note', text: 'machine replaced' },
          { kind: 'user', text: 'second' },
          {
            ...{ kind: 'assistant', text: 'answer 0' },
            toolCalls: ['a', 'b'].map((command) => ({
              ...{ id: `call-${command}`, name: 'bash' },
              argumentsJson: JSON.stringify({ command }),
            })),
          },
          { kind: 'tool', toolCallId: 'call-a', text: 'output of a' },
          { kind: 'tool', toolCallId: 'call-b', text: '(not run: the turn ended first)' },
          { kind: 'note', text: 'a note in between' },
        ],
      },
      {
        turnId: 't3',
        entries: [
          { kind: 'user', text: 'third' },
          { kind: 'note', text: 'at the end' },
        ],
      },
    ]);
  });

  it('leaves out whole turns from the oldest on, and never the turn itself', async () => {
    const lane = openLane(test.store, 'bounds');
    for (const id of ['t1', 't2', 't3']) await talk(lane, id, 'x'.repeat(92)); // 100 bytes a turn with its answer
    const turn = await lane.run('t4', 'y'.repeat(100));
    await lane.admit('t5');
    const ids = async (more: Bounds) => {
      const { turns, omitsEarlier } = await loadAll(turn, more);
      return [omitsEarlier, ...turns.map(({ turnId }) => turnId)];
    };
    expect(await ids({})).toEqual([false, 't1', 't2', 't3', 't4']);
    expect(await ids({ turnsMax: 4 })).toEqual([false, 't1', 't2', 't3', 't4']);
    expect(await ids({ turnsMax: 2 })).toEqual([true, 't3', 't4']);
    expect(await ids({ bytesMax: 300 })).toEqual([true, 't2', 't3', 't4']);
    expect(await ids({ bytesMax: 299 })).toEqual([true, 't3', 't4']);
    expect(await ids({ bytesMax: 1 })).toEqual([true, 't4']);
  });

  it('leaves out notes of turns that are left out', async () => {
    const lane = openLane(test.store, 'old-notes');
    await talk(lane, 't1', 'one');
    await note('old-notes', null, 'belongs to t2');
    await talk(lane, 't2', 'two');
    const turn = await lane.run('t3', 'three');
    expect((await load(turn, { turnsMax: 1 })).flatMap(({ entries }) => entries)).toEqual([
      { kind: 'user', text: 'three' },
    ]);
    expect((await load(turn, { turnsMax: 2 }))[0]?.entries[0]).toEqual({ kind: 'note', text: 'belongs to t2' });
  });
});

describe('the conversation of a turn that is not open yet', () => {
  it('ends with its prompt, behind the notes that wait for it', async () => {
    const lane = openLane(test.store, 'waiting');
    const first = await talk(lane, 't1', 'one');
    await note('waiting', null, 'machine replaced');
    const { turnKey } = await lane.admit('t2', 'two');
    const [earlier, turn] = await load({ ...first, turnKey });
    expect(earlier?.entries[0]).toEqual({ kind: 'user', text: 'one' });
    const entries = [
      { kind: 'note', text: 'machine replaced' },
      { kind: 'user', text: 'two' },
    ];
    expect(turn).toEqual({ turnId: 't2', entries });
    // No note of an earlier turn is taken along where only this one fits.
    expect(await load({ ...first, turnKey }, { bytesMax: 1 })).toEqual([turn]);
    await lane.open();
    expect(await load({ ...first, turnKey })).toEqual([earlier, turn]);
  });
});

describe('addNote', () => {
  it('is refused where there is no such user', async () => {
    await expect(note('nobody', null, 'hello')).rejects.toMatchObject({ code: '23502' });
  });
});
