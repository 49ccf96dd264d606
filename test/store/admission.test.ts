/** Goal: admission takes a turn whole or not at all, in one order. Method: real Postgres, many calls at once. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { admitTurn, requestCancel } from '../../src/store/admission.js';
import { readEvents } from '../../src/store/events.js';
import type { GivenCall } from '../../src/store/given-call.js';
import { beginStep } from '../../src/store/steps.js';
import { getTurn, listTurns } from '../../src/store/turns.js';
import { createUser, getUser, requestDestroy } from '../../src/store/users.js';
import { openLane, openStore, text, type TestStore } from './support/lanes.js';

let test: TestStore;
beforeAll(async () => {
  test = await openStore();
});
afterAll(() => test.close());

const admit = (userId: string, turnId: string, prompt = 'hello', openTurnsMax = 20) =>
  admitTurn(test.store, { userId, workflowId: `user-machine/${userId}`, turnId, prompt, openTurnsMax });

describe('admitTurn', () => {
  it('creates an unknown user and gives the first position', async () => {
    const turn = await admit('new', 't1');
    expect(turn).toMatchObject({ position: 1, state: 'queued', isNew: true, workflowId: 'user-machine/new' });
    expect(await getUser(test.store, 'new')).toMatchObject({ state: 'active', queueLength: 1, turnCount: 0 });
    expect(await readEvents(test.store, { userId: 'new', after: 0, limit: 10 })).toMatchObject([
      { seq: 1, turnId: 't1', body: { type: 'turn.queued', position: 1 } },
    ]);
  });

  it('admits 20 of 50 first messages at once and stores nothing of the others', async () => {
    const ids = Array.from({ length: 50 }, (_, index) => `t${index}`);
    const settled = await Promise.allSettled(ids.map((id) => admit('flood', id)));
    const admitted = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const refused = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
    expect(admitted.map((turn) => turn.position).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
    expect(refused).toHaveLength(30);
    for (const error of refused) expect(error).toMatchObject({ code: 'QUEUE_FULL' });
    expect(await listTurns(test.store, { userId: 'flood', limit: 100 })).toHaveLength(20);
    const events = await readEvents(test.store, { userId: 'flood', after: 0, limit: 100 });
    expect(events.map((event) => event.seq)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect(await getUser(test.store, 'flood')).toMatchObject({ queueLength: 20 });
    const first = ids[settled.findIndex((one) => one.status === 'fulfilled')] ?? '';
    const again = await admit('flood', first);
    expect(again.isNew).toBe(false);
  });

  it('admits one turn where the same id and prompt come many times at once', async () => {
    const all = await Promise.all(Array.from({ length: 12 }, () => admit('repeat', 'same')));
    expect(new Set(all.map((turn) => turn.turnKey)).size).toBe(1);
    expect(all.filter((turn) => turn.isNew)).toHaveLength(1);
    expect(await readEvents(test.store, { userId: 'repeat', after: 0, limit: 10 })).toHaveLength(1);
  });

  it('refuses the same id with another prompt, and leaves the first as it was', async () => {
    await admit('reuse', 't1', 'one');
    await expect(admit('reuse', 't1', 'two')).rejects.toMatchObject({ code: 'TURN_ID_REUSED' });
    expect(await getTurn(test.store, { userId: 'reuse', turnId: 't1' })).toMatchObject({ prompt: 'one', position: 1 });
    expect((await admit('reuse', 't2')).position).toBe(2);
  });

  it('answers a repeated turn even when the queue is full', async () => {
    await admit('full', 't1', 'x', 1);
    await expect(admit('full', 't2', 'x', 1)).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    expect(await admit('full', 't1', 'x', 1)).toMatchObject({ isNew: false, position: 1 });
  });

  it('refuses everything of a user that is being destroyed', async () => {
    await admit('leaving', 't1');
    await requestDestroy(test.store, 'leaving');
    await expect(admit('leaving', 't2')).rejects.toMatchObject({ code: 'USER_DESTROYED' });
    await expect(
      createUser(test.store, { userId: 'leaving', workflowId: 'user-machine/leaving' }),
    ).rejects.toMatchObject({
      code: 'USER_DESTROYED',
    });
    expect(await listTurns(test.store, { userId: 'leaving', limit: 10 })).toHaveLength(1);
  });

  it('keeps a prompt that Postgres cannot hold as it is, with what it cannot hold replaced', async () => {
    await admit('nul', 't1', 'a\u0000b\ud800c');
    expect((await getTurn(test.store, { userId: 'nul', turnId: 't1' })).prompt).toBe('a\uFFFDb\uFFFDc');
    expect(await admit('nul', 't1', 'a\u0000b\ud800c')).toMatchObject({ isNew: false });
  });
});

describe('a turn whose call is given', () => {
  const LIST = { tool: 'bash', argumentsJson: '{"command":"ls"}', origin: 'mcp' } as const;
  const give = (userId: string, turnId: string, given: GivenCall = LIST, openTurnsMax = 20) =>
    admitTurn(test.store, { userId, workflowId: `user-machine/${userId}`, turnId, prompt: 'ls', given, openTurnsMax });

  it('takes its place between messages, and keeps which way it came', async () => {
    await admit('given', 't1');
    expect(await give('given', 't2')).toMatchObject({ position: 2, state: 'queued', isNew: true });
    const [given, message] = await listTurns(test.store, { userId: 'given', limit: 2 });
    expect([given?.origin, message?.origin]).toEqual(['mcp', null]);
  });

  it('is one turn, however often it comes at once', async () => {
    const all = await Promise.all(Array.from({ length: 12 }, () => give('given-repeat', 'same')));
    expect(all.filter((turn) => turn.isNew)).toHaveLength(1);
    expect(await listTurns(test.store, { userId: 'given-repeat', limit: 10 })).toHaveLength(1);
  });

  it('is refused where its id was used for another call, another tool, or a message', async () => {
    await give('given-reuse', 't1');
    const others = [
      () => give('given-reuse', 't1', { ...LIST, argumentsJson: '{"command":"ls -l"}' }),
      () => give('given-reuse', 't1', { ...LIST, tool: 'read_file' }),
      () => admit('given-reuse', 't1', 'ls'),
      // What the call's hash is made of.
      () => admit('given-reuse', 't1', JSON.stringify(['bash', LIST.argumentsJson])),
    ];
    for (const other of others) await expect(other()).rejects.toMatchObject({ code: 'TURN_ID_REUSED' });
    await admit('given-reuse', 't2', 'ls');
    await expect(give('given-reuse', 't2')).rejects.toMatchObject({ code: 'TURN_ID_REUSED' });
  });

  it('counts among the open turns', async () => {
    await give('given-full', 't1', LIST, 1);
    await expect(give('given-full', 't2', LIST, 1)).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    expect(await give('given-full', 't1', LIST, 1)).toMatchObject({ isNew: false });
  });

  it('is handed to its first step, whatever its arguments hold; a later step is given nothing', async () => {
    const content = 'a\u0000b\ud800c';
    const given = { tool: 'write_file', argumentsJson: JSON.stringify({ path: 'x', content }), origin: 'mcp' } as const;
    const lane = openLane(test.store, 'given-step');
    const { turnKey } = await give('given-step', 't1', given);
    await give('given-step', 't2');
    const { turn } = await lane.open();
    if (turn === null) throw new Error('no turn is open');
    const first = await beginStep(test.store, { ...lane, turnKey, step: 0 });
    expect(first).toMatchObject({ given: { call: { tool: 'write_file', argumentsJson: given.argumentsJson } } });
    await lane.answer(turn, 0, [{ callId: 'given', ...given, title: 'write x' }]);
    expect(await beginStep(test.store, { ...lane, turnKey, step: 1 })).toMatchObject({ given: { call: undefined } });
  });

  it('is none where the turn is a message', async () => {
    const lane = openLane(test.store, 'given-none');
    const { turnKey } = await lane.run('t1');
    expect(await beginStep(test.store, { ...lane, turnKey, step: 0 })).toMatchObject({
      ...{ kind: 'begin', given: undefined },
    });
  });
});

describe('requestCancel', () => {
  it('ends a waiting turn and says so in the event log', async () => {
    await admit('cancel', 't1');
    const cancelled = await requestCancel(test.store, { userId: 'cancel', turnId: 't1' });
    expect(cancelled).toMatchObject({ state: 'cancelled', wasQueued: true });
    expect(await getTurn(test.store, { userId: 'cancel', turnId: 't1' })).toMatchObject({
      state: 'cancelled',
      errorCode: 'CANCELLED',
      endedAt: text,
    });
    const events = await readEvents(test.store, { userId: 'cancel', after: 1, limit: 10, turnId: 't1' });
    expect(events.map((event) => event.body)).toEqual([
      { type: 'turn.ended', outcome: 'cancelled', code: 'CANCELLED' },
    ]);
    const again = await requestCancel(test.store, { userId: 'cancel', turnId: 't1' });
    expect(again).toMatchObject({ state: 'cancelled', wasQueued: false });
  });

  it('flags a running turn and leaves its end to the lane', async () => {
    const lane = openLane(test.store, 'flag');
    await lane.admit('t1');
    await lane.open();
    expect(await requestCancel(test.store, { userId: 'flag', turnId: 't1' })).toMatchObject({
      state: 'running',
      wasQueued: false,
    });
    expect(await lane.open()).toMatchObject({ turn: { turnId: 't1', mustClose: 'cancelled' } });
  });

  it('names what is unknown', async () => {
    await admit('known', 't1');
    await expect(requestCancel(test.store, { userId: 'known', turnId: 'no' })).rejects.toMatchObject({
      code: 'TURN_UNKNOWN',
    });
    await expect(requestCancel(test.store, { userId: 'nobody', turnId: 't1' })).rejects.toMatchObject({
      code: 'USER_UNKNOWN',
    });
  });
});
