/** Goal: one result per step, fenced by lane and try. Method: lanes that begin, answer late, twice or not at all, on real Postgres. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requestCancel } from '../../src/store/admission.js';
import { loadConversation } from '../../src/store/conversation.js';
import { readEvents } from '../../src/store/events.js';
import { beginStep, countModelFailure, storeAnswer, type NewCall } from '../../src/store/steps.js';
import { getTurn } from '../../src/store/turns.js';
import { createUser, getUser, requestDestroy } from '../../src/store/users.js';
import { bash, DEFAULTS, openLane, openStore, type TestLane, type TestStore } from './support/lanes.js';

let test: TestStore;
beforeAll(async () => {
  test = await openStore();
});
afterAll(() => test.close());

const answer = { text: 'done', finish: 'stop', model: 'm', usage: { inputTokens: 7, outputTokens: 3 } };
const completed = { outcome: 'completed', code: null } as const;
const view = (userId: string) => getTurn(test.store, { userId, turnId: 't1' });
const bodies = async (userId: string) =>
  (await readEvents(test.store, { userId, after: 0, limit: 100 })).map((event) => event.body);

async function begin(lane: TestLane, turnKey: string, step = 0): Promise<number> {
  const begun = await beginStep(test.store, { ...lane, turnKey, step });
  if (begun.kind !== 'begin') throw new Error(begun.kind);
  return begun.try;
}

describe('beginStep', () => {
  it('numbers each try', async () => {
    const lane = openLane(test.store, 'tries');
    const { turnKey } = await lane.run('t1');
    expect(await beginStep(test.store, { ...lane, turnKey, step: 0 })).toMatchObject({
      kind: 'begin',
      userId: 'tries',
      try: 1,
      opened: undefined,
    });
    expect(await begin(lane, turnKey)).toBe(2);
  });

  it('opens a waiting turn where it may, with the prompt in the transcript, its event and its time limit', async () => {
    const lane = openLane(test.store, 'opens');
    await createUser(test.store, lane);
    await lane.open();
    const { turnKey } = await lane.admit('t1', 'first words');
    const opening = { ...lane, turnKey, step: 0, opens: DEFAULTS };
    const begun = await beginStep(test.store, opening);
    expect(begun).toMatchObject({ kind: 'begin', try: 1, opened: DEFAULTS });
    const { state, startedAt, deadlineAt } = await view('opens');
    expect(state).toBe('running');
    expect(Date.parse(deadlineAt ?? '') - Date.parse(startedAt ?? '')).toBe(DEFAULTS.wallMs);
    expect(begun.kind === 'begin' && begun.opened?.deadlineAtMs).toBe(Date.parse(deadlineAt ?? ''));
    expect((await bodies('opens')).map(({ type }) => type)).toEqual(['turn.queued', 'turn.started']);
    const { turns } = await loadConversation(test.store, { turnKey, turnsMax: 9, bytesMax: 9_999 });
    expect(turns).toEqual([{ turnId: 't1', entries: [{ kind: 'user', text: 'first words' }] }]);
    expect(await beginStep(test.store, opening)).toMatchObject({ kind: 'begin', try: 2, opened: undefined });
  });

  it('opens no turn that another one comes before, and none of a user that is being destroyed', async () => {
    const lane = openLane(test.store, 'not-next');
    const first = await lane.run('t0');
    const { turnKey } = await lane.admit('t1');
    const third = await lane.admit('t2');
    const opening = { ...lane, step: 0, opens: DEFAULTS };
    const notNext = { kind: 'not_next' };
    expect(await beginStep(test.store, { ...opening, turnKey })).toEqual(notNext);
    await lane.answer(first, 0, []);
    expect(await beginStep(test.store, { ...opening, turnKey: third.turnKey })).toEqual(notNext);
    await requestDestroy(test.store, 'not-next');
    expect(await beginStep(test.store, { ...opening, turnKey })).toEqual(notNext);
    expect(await view('not-next')).toMatchObject({ state: 'queued', startedAt: null, steps: 0 });
  });

  it('opens no turn for a run that does not own the lane', async () => {
    const lane = openLane(test.store, 'stale-opening');
    await lane.run('t0');
    await lane.close('t0');
    const { turnKey } = await lane.admit('t1');
    await openLane(test.store, 'stale-opening', 'run-2').open();
    const opening = beginStep(test.store, { ...lane, turnKey, step: 0, opens: DEFAULTS });
    await expect(opening).rejects.toMatchObject({ code: 'STALE_LANE' });
  });

  it('answers the stored result of a step whose completion was lost', async () => {
    const lane = openLane(test.store, 'lost');
    const turn = await lane.run('t1');
    const stored = await lane.answer(turn, 0, [bash('true')]);
    const again = await beginStep(test.store, { ...lane, turnKey: turn.turnKey, step: 0 });
    expect(again).toEqual({ ...stored, kind: 'answered' });
    await lane.answer(turn, 1, []);
    expect(await beginStep(test.store, { ...lane, turnKey: turn.turnKey, step: 1 })).toEqual({
      kind: 'closed',
      ...completed,
    });
  });

  it('ends a turn whose cancel was asked for', async () => {
    const lane = openLane(test.store, 'cancel-first');
    const { turnKey } = await lane.run('t1');
    await requestCancel(test.store, { userId: 'cancel-first', turnId: 't1' });
    const closed = { kind: 'closed', outcome: 'cancelled', code: 'CANCELLED' };
    expect(await beginStep(test.store, { ...lane, turnKey, step: 0 })).toEqual(closed);
    expect(await view('cancel-first')).toMatchObject({ state: 'cancelled', steps: 0 });
  });

  it("does not know another user's turn", async () => {
    const { turnKey } = await openLane(test.store, 'mine').run('t1');
    const other = openLane(test.store, 'other');
    await other.run('t1');
    await expect(beginStep(test.store, { ...other, turnKey, step: 0 })).rejects.toMatchObject({ code: 'TURN_UNKNOWN' });
  });
});

describe('storeAnswer', () => {
  it('stores the calls in order, the invalid ones with what the model is told', async () => {
    const lane = openLane(test.store, 'calls');
    const turn = await lane.run('t1');
    const invalid: NewCall = {
      ...bash('x'),
      tool: 'fly',
      invalid: { reason: 'unknown tool', shown: 'There is no tool "fly".' },
    };
    expect(await lane.answer(turn, 0, [bash('true'), invalid])).toEqual({
      kind: 'calls',
      calls: [
        { index: 0, tool: 'bash', isSettled: false },
        { index: 1, tool: 'fly', isSettled: true },
      ],
    });
    const cmdIds = [0, 1].map((index) => `${turn.turnKey}-0-${index}`);
    expect((await bodies('calls')).slice(2)).toEqual([
      {
        ...{ type: 'step.answered', step: 0, text: 'answer 0' },
        calls: [
          { index: 0, cmdId: cmdIds[0], tool: 'bash', title: 'true' },
          { index: 1, cmdId: cmdIds[1], tool: 'fly', title: 'x' },
        ],
      },
      {
        ...{
          type: 'command.ended',
          step: 0,
          index: 1,
          cmdId: cmdIds[1],
          tool: 'fly',
          outcome: 'invalid',
          exitCode: null,
        },
        ...{ outputBytes: 0, output: 'There is no tool "fly".' },
      },
    ]);
  });

  it('closes the turn in the same transaction, with its answer, tokens and counters', async () => {
    const lane = openLane(test.store, 'close');
    const turn = await lane.run('t1');
    await lane.answer(turn, 0, [bash('true')]);
    expect(await lane.answer(turn, 1, [])).toEqual({ kind: 'closed', ...completed, isQueueEmpty: true });
    expect(await view('close')).toMatchObject({
      ...{ state: 'completed', answer: 'answer 1', errorCode: null },
      ...{ steps: 2, toolCalls: 1, inputTokens: 20, outputTokens: 4 },
    });
    expect(await getUser(test.store, 'close')).toMatchObject({ turnCount: 1, queueLength: 0, lastErrorCode: null });
    expect((await bodies('close')).at(-1)).toEqual({ type: 'turn.ended', ...completed });
  });

  it('refuses an older try and writes nothing of it', async () => {
    const lane = openLane(test.store, 'stale');
    const { turnKey } = await lane.run('t1');
    const old = await begin(lane, turnKey);
    const current = await begin(lane, turnKey);
    const input = { ...lane, turnKey, step: 0, answer, calls: [bash('true')], close: null };
    await expect(storeAnswer(test.store, { ...input, try: old })).rejects.toMatchObject({ code: 'STALE_TRY' });
    expect(await view('stale')).toMatchObject({ steps: 0, toolCalls: 0 });
    expect(await bodies('stale')).toHaveLength(2);
    await storeAnswer(test.store, { ...input, try: current });
    expect(await view('stale')).toMatchObject({ steps: 1, toolCalls: 1 });
  });

  it('answers what is stored where the same try stores again, and keeps the first', async () => {
    const lane = openLane(test.store, 'twice');
    const { turnKey } = await lane.run('t1');
    const input = { ...lane, turnKey, step: 0, try: await begin(lane, turnKey), answer, close: null };
    const first = await storeAnswer(test.store, { ...input, calls: [bash('true')] });
    expect(await storeAnswer(test.store, { ...input, calls: [bash('a'), bash('b')] })).toEqual(first);
    expect(await view('twice')).toMatchObject({ toolCalls: 1 });
    const last = { ...input, step: 1, try: await begin(lane, turnKey, 1), calls: [], close: completed };
    const closed = await storeAnswer(test.store, last);
    expect(closed).toEqual({ kind: 'closed', ...completed, isQueueEmpty: true });
    // A repetition has not looked at the queue.
    expect(await storeAnswer(test.store, last)).toEqual({ kind: 'closed', ...completed });
    expect((await bodies('twice')).filter((body) => body.type === 'turn.ended')).toHaveLength(1);
  });

  it('keeps the text of an answer that a cancel overtook, starts none of its calls and ends the turn', async () => {
    const lane = openLane(test.store, 'overtaken');
    const { turnKey } = await lane.run('t1');
    const input = {
      ...lane,
      turnKey,
      step: 0,
      try: await begin(lane, turnKey),
      answer,
      calls: [bash('true')],
      close: null,
    };
    await requestCancel(test.store, { userId: 'overtaken', turnId: 't1' });
    expect(await storeAnswer(test.store, input)).toEqual({ kind: 'closed', outcome: 'cancelled', code: 'CANCELLED' });
    expect(await view('overtaken')).toMatchObject({ state: 'cancelled', steps: 1, toolCalls: 0 });
    expect(await bodies('overtaken')).toContainEqual({ type: 'step.answered', step: 0, text: 'done', calls: [] });
  });

  it('lets the first close win', async () => {
    const lane = openLane(test.store, 'first');
    const { turnKey } = await lane.run('t1');
    const input = { ...lane, turnKey, step: 0, try: await begin(lane, turnKey), answer, calls: [], close: completed };
    const [stored, closed] = await Promise.all([storeAnswer(test.store, input), lane.close('t1')]);
    const turn = await view('first');
    expect(turn.state).toBe(closed ? 'failed' : 'completed');
    expect(stored).toMatchObject({ kind: 'closed', outcome: turn.state, code: turn.errorCode });
    expect(await lane.close('t1')).toBe(false);
    expect((await bodies('first')).filter((body) => body.type === 'turn.ended')).toHaveLength(1);
    expect(await getUser(test.store, 'first')).toMatchObject({ turnCount: 1 });
  });

  it('keeps text that Postgres cannot hold as it is', async () => {
    const lane = openLane(test.store, 'odd-text');
    const { turnKey } = await lane.run('t1');
    const odd = { ...bash('a'), argumentsJson: '{"command":"\u0000\udfff"}', title: '\u0000' };
    const said = { ...answer, text: '\ud800\u0000 ok' };
    const input = {
      ...lane,
      turnKey,
      step: 0,
      try: await begin(lane, turnKey),
      answer: said,
      calls: [odd],
      close: null,
    };
    await storeAnswer(test.store, input);
    expect((await bodies('odd-text')).at(-1)).toMatchObject({ text: '\uFFFD\uFFFD ok', calls: [{ title: '\uFFFD' }] });
  });
});

describe('countModelFailure', () => {
  it('counts what the newest try of an open step tells, over all of its tries', async () => {
    const lane = openLane(test.store, 'model-fails');
    const turn = await lane.run('t1');
    const at = { turnKey: turn.turnKey, step: 0 };
    await beginStep(test.store, { ...lane, ...at });
    expect(await countModelFailure(test.store, { ...at, try: 1 })).toBe(1);
    await beginStep(test.store, { ...lane, ...at });
    await beginStep(test.store, { ...lane, ...at });
    expect(await countModelFailure(test.store, { ...at, try: 2 })).toBe(0);
    expect(await countModelFailure(test.store, { ...at, try: 3 })).toBe(2);
    await lane.answer(turn, 0, []);
    expect(await countModelFailure(test.store, { ...at, try: 4 })).toBe(0);
  });
});
