/** Goal: live text is the newest try's, is told to listeners, and is gone once its part is complete. Method: two tries on real Postgres. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { beginCall } from '../../src/store/calls.js';
import { ANSWER_PART, appendDeltas, DELTAS_CHANNEL, readEventHead, type PlacedDelta } from '../../src/store/deltas.js';
import { requireLaneTurn } from '../../src/store/lane.js';
import { withTransaction } from '../../src/store/pool.js';
import { settleCall } from '../../src/store/settle.js';
import { statement } from '../../src/store/sql.js';
import { beginStep } from '../../src/store/steps.js';
import { waitFor } from '../support/wait-for.js';
import { bash, makeReady, openLane, openStore, type TestLane, type TestStore } from './support/lanes.js';

let test: TestStore;
beforeAll(async () => {
  test = await openStore();
});
afterAll(() => test.close());

const said = (n: number, text: string): PlacedDelta => ({ n, body: { type: 'answer.delta', text } });
const printed = (n: number, text: string): PlacedDelta => ({ n, body: { type: 'output.delta', text } });
const stored = async (userId: string) =>
  (await readEventHead(test.store, { userId }))?.deltas.map(({ step, index, try: by, n, body }) => ({
    step,
    index,
    try: by,
    n,
    body,
  }));

/** A turn whose first answer is being made, by the try of that number. */
async function thinking(userId: string, tries = 1): Promise<{ lane: TestLane; turnKey: string }> {
  const lane = openLane(test.store, userId);
  const { turnKey } = await lane.run('t1');
  for (let begun = 0; begun < tries; begun += 1) await beginStep(test.store, { ...lane, turnKey, step: 0 });
  return { lane, turnKey };
}

/** A turn whose first command runs. */
async function acting(
  userId: string,
): Promise<{ lane: TestLane; key: { turnKey: string; step: number; index: number } }> {
  const lane = openLane(test.store, userId);
  const turn = await lane.run('t1');
  await lane.answer(turn, 0, [bash('make')]);
  const { generation } = await makeReady(test.store, lane);
  const key = { turnKey: turn.turnKey, step: 0, index: 0 };
  await beginCall(test.store, { ...lane, ...key, boot: { generation, bootId: 'boot-1' } });
  return { lane, key };
}

describe('live text of an answer', () => {
  it('that comes late waits for whoever completes the answer, and is refused then', async () => {
    const { lane, turnKey } = await thinking('late');
    const late = { turnKey, step: 0, index: ANSWER_PART, try: 1, deltas: [said(1, 'late')] };
    const appended = await withTransaction(test.store, async (tx) => {
      await requireLaneTurn(tx, { ...lane, turnKey });
      const appending = appendDeltas(test.store, late);
      const blocked = `select from pg_stat_activity where wait_event_type = 'Lock' and query like '%pg_notify%' and datname = current_database()`;
      await waitFor(
        'the append to wait',
        async () => (await test.store.query(statement('test_blocked', blocked), [])).rowCount > 0,
      );
      await tx.query(statement('test_answer', `update steps set answered_at = now() where turn_key = $1::bigint`), [
        turnKey,
      ]);
      return [appending]; // In a list, or it would be waited for before the commit.
    });
    expect(await appended[0]).toBe(false);
    expect(await stored('late')).toEqual([]);
  });

  it('is kept in order, and once however often it is sent', async () => {
    const { turnKey } = await thinking('say');
    const part = { turnKey, step: 0, index: ANSWER_PART, try: 1 };
    expect(await appendDeltas(test.store, { ...part, deltas: [said(1, 'Hel'), said(2, 'lo\u0000')] })).toBe(true);
    expect(await appendDeltas(test.store, { ...part, deltas: [said(1, 'Hel'), said(2, 'lo\u0000')] })).toBe(true);
    expect(await appendDeltas(test.store, { ...part, deltas: [said(3, '!')] })).toBe(true);
    const of = { step: 0, index: ANSWER_PART, try: 1 };
    expect(await stored('say')).toEqual([
      { ...of, ...said(1, 'Hel') },
      { ...of, ...said(2, 'lo\uFFFD') },
      { ...of, ...said(3, '!') },
    ]);
  });

  it('is void once a newer try begins, which alone may go on', async () => {
    const { lane, turnKey } = await thinking('retry');
    const part = { turnKey, step: 0, index: ANSWER_PART };
    await appendDeltas(test.store, { ...part, try: 1, deltas: [said(1, 'old')] });
    await beginStep(test.store, { ...lane, turnKey, step: 0 });
    expect(await appendDeltas(test.store, { ...part, try: 1, deltas: [said(2, 'er')] })).toBe(false);
    expect(await appendDeltas(test.store, { ...part, try: 2, deltas: [said(1, 'new')] })).toBe(true);
    const of = { step: 0, index: ANSWER_PART, try: 2 };
    expect(await stored('retry')).toEqual([
      { ...of, n: 0, body: { type: 'part.restarted' } },
      { ...of, ...said(1, 'new') },
    ]);
  });

  it('is not said to be void where there was none', async () => {
    await thinking('silent', 3);
    expect(await stored('silent')).toEqual([]);
  });

  it.each([
    ['answered', (lane: TestLane, turn: Parameters<TestLane['answer']>[0]) => lane.answer(turn, 0, [])],
    ['closed', (lane: TestLane) => lane.close('t1')],
  ] as const)('is gone once it is %s, and takes no more', async (name, complete) => {
    const lane = openLane(test.store, `gone-${name}`);
    const turn = await lane.run('t1');
    await beginStep(test.store, { ...lane, turnKey: turn.turnKey, step: 0 });
    const part = { turnKey: turn.turnKey, step: 0, index: ANSWER_PART };
    await appendDeltas(test.store, { ...part, try: 1, deltas: [said(1, 'half')] });
    await complete(lane, turn);
    expect(await stored(`gone-${name}`)).toEqual([]);
    for (const attempt of [1, 2]) {
      expect(await appendDeltas(test.store, { ...part, try: attempt, deltas: [said(2, 'late')] })).toBe(false);
    }
    expect(await stored(`gone-${name}`)).toEqual([]);
  });
});

describe('live text of a command', () => {
  it('is gone once the command has an outcome, and takes no more', async () => {
    const { lane, key } = await acting('print');
    expect(await appendDeltas(test.store, { ...key, try: 1, deltas: [printed(1, 'one\n')] })).toBe(true);
    expect(await stored('print')).toEqual([{ step: 0, index: 0, try: 1, ...printed(1, 'one\n') }]);
    const outcome = { outcome: 'exited', reason: null, result: { exitCode: 0 }, shown: 'one' } as const;
    await settleCall(test.store, { ...lane, ...key, try: 1, ...outcome });
    expect(await appendDeltas(test.store, { ...key, try: 1, deltas: [printed(2, 'two\n')] })).toBe(false);
    expect(await stored('print')).toEqual([]);
  });

  it('is void once a newer try begins', async () => {
    const { lane, key } = await acting('print-again');
    await appendDeltas(test.store, { ...key, try: 1, deltas: [printed(1, 'one\n')] });
    await beginCall(test.store, { ...lane, ...key, boot: null });
    expect(await stored('print-again')).toEqual([
      { step: 0, index: 0, try: 2, n: 0, body: { type: 'part.restarted' } },
    ]);
  });
});

describe('a listener', () => {
  it('is told live text whole, and to read for itself what is too long for a notice', async () => {
    const listener = new pg.Client({ connectionString: test.url });
    await listener.connect();
    try {
      const notices: Record<string, unknown>[] = [];
      listener.on('notification', ({ payload = '' }) => notices.push(JSON.parse(payload) as Record<string, unknown>));
      await listener.query(`listen ${DELTAS_CHANNEL}`);
      const { turnKey } = await thinking('told');
      const part = { turnKey, step: 0, index: ANSWER_PART, try: 1 };
      const long = 'ä\n"'.repeat(2_600); // Less than 8,000 bytes until it is written as JSON.
      await appendDeltas(test.store, { ...part, deltas: [said(1, 'Hi')] });
      await appendDeltas(test.store, { ...part, deltas: [said(2, long)] });
      await waitFor('two notices', () => notices.length === 2);
      const of = { userId: 'told', turnId: 't1', ...part };
      expect(notices).toEqual([
        { ...of, deltas: [said(1, 'Hi')] },
        { ...of, deltas: null },
      ]);
      expect((await stored('told'))?.at(-1)).toMatchObject(said(2, long));
    } finally {
      await listener.end();
    }
  });
});
