/**
 * Goal: a backend that knows nothing but HTTP submits, reads, cancels and follows; whoever may not is told so and learns nothing.
 * Method: the gateway on real Postgres and Temporal, asked over real connections; a lane that is played by hand.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApiKey, revokeApiKey } from '../../src/store/api-keys.js';
import { ANSWER_PART, appendDeltas } from '../../src/store/deltas.js';
import { beginStep } from '../../src/store/steps.js';
import { openLane, type TestStore } from '../store/support/lanes.js';
import { waitFor } from '../support/wait-for.js';
import { openGateway, type TestGateway } from './support/gateway.js';

let gateway: TestGateway;
let test: TestStore;
let ask: TestGateway['ask'];
let submit: TestGateway['submit'];
let read: TestGateway['read'];
let keys: TestGateway['keys'];

beforeAll(async () => {
  gateway = await openGateway();
  ({ test, ask, submit, read, keys } = gateway);
});
afterAll(() => gateway.close());

describe('a turn', () => {
  it('is accepted with its links, and is the same when it is sent again', async () => {
    const first = await submit('web-ada', { prompt: 'hello', turnId: 't1' });
    expect(first.status).toBe(202);
    expect(first.json).toEqual({
      ...{ turnId: 't1', position: 1, state: 'queued', isNew: true },
      links: {
        turn: '/v1/users/web-ada/turns/t1',
        events: '/v1/users/web-ada/events?turn=t1',
        cancel: '/v1/users/web-ada/turns/t1/cancel',
      },
    });
    expect(first.headers.get('location')).toBe('/v1/users/web-ada/turns/t1');
    const again = await submit('web-ada', { prompt: 'hello' }, { headers: { 'idempotency-key': 't1' } });
    expect(again.json).toMatchObject({ turnId: 't1', position: 1, isNew: false });
    const other = await submit('web-ada', { prompt: 'else', turnId: 't1' });
    expect(other).toMatchObject({ status: 409, json: { code: 'TURN_ID_REUSED' } });
    expect((await ask('/v1/users/web-ada/turns/t1')).json).toMatchObject({
      turnId: 't1',
      prompt: 'hello',
      state: 'queued',
    });
  });

  it('without an id gets one, and with two that differ is refused', async () => {
    const { json } = await submit('web-bea', { prompt: 'hello' });
    expect(json['turnId']).toMatch(/^[0-9a-f-]{36}$/);
    const two = await submit('web-bea', { prompt: 'x', turnId: 'a' }, { headers: { 'idempotency-key': 'b' } });
    expect(two).toMatchObject({ status: 400, json: { code: 'INVALID_INPUT' } });
  });

  it('is held for as long as was asked, and answered with its result where that comes', async () => {
    const userId = 'web-cleo';
    const lane = openLane(test.store, userId);
    await submit(userId, { prompt: 'hello', turnId: 't1' });
    const body = { prompt: 'hello', turnId: 't1' };
    const held = ask(`/v1/users/${userId}/turns?wait=30`, { method: 'POST', body });
    const turn = await waitForTurn(lane);
    await lane.answer(turn, 0, []);
    expect(await held).toMatchObject({ status: 200, json: { state: 'completed', turn: { answer: 'answer 0' } } });
    const late = await ask(`/v1/users/${userId}/turns?wait=1`, { method: 'POST', body: { prompt: 'x', turnId: 't2' } });
    expect(late).toMatchObject({ status: 202, json: { state: 'queued' } });
  });

  it('that waits is listed, removed from the queue or cancelled; pages go on where the last one ended', async () => {
    for (const turnId of ['a', 'b', 'c']) await submit('web-dora', { prompt: turnId, turnId });
    const ids = ({ json }: { json: Record<string, unknown> }): unknown[] =>
      (json['items'] as { turnId: string }[]).map(({ turnId }) => turnId);
    expect(ids(await ask('/v1/users/web-dora/queue'))).toEqual(['a', 'b', 'c']);
    const page = await ask('/v1/users/web-dora/turns?limit=2');
    expect(ids(page)).toEqual(['c', 'b']);
    const rest = await ask(`/v1/users/web-dora/turns?limit=2&cursor=${String(page.json['next'])}`);
    expect([ids(rest), rest.json['next']]).toEqual([['a'], null]);
    expect((await ask('/v1/users/web-dora/queue/b', { method: 'DELETE' })).status).toBe(204);
    expect(await ask('/v1/users/web-dora/queue/b', { method: 'DELETE' })).toMatchObject({
      ...{ status: 409, json: { code: 'TURN_NOT_WAITING' } },
    });
    expect(await ask('/v1/users/web-dora/turns/c/cancel', { method: 'POST' })).toMatchObject({
      ...{ status: 202, json: { state: 'cancelled' } },
    });
    expect(ids(await ask('/v1/users/web-dora/queue'))).toEqual(['a']);
  });
});

describe('events', () => {
  it('of a turn come live with their ids, resume behind any of them, and end with the turn', async () => {
    const userId = 'web-eve';
    const lane = openLane(test.store, userId);
    await submit(userId, { prompt: 'hello', turnId: 't1' });
    const reader = read(`/v1/users/${userId}/events?turn=t1`);
    await waitFor('the first event', () => reader.seen.length > 0);
    const turn = await waitForTurn(lane);
    const { turnKey } = turn;
    await beginStep(test.store, { ...lane, turnKey, step: 0 });
    const part = { turnKey, step: 0, index: ANSWER_PART, try: 1 };
    for (const [at, text] of ['Hel', 'lo'].entries()) {
      await appendDeltas(test.store, { ...part, deltas: [{ n: at + 1, body: { type: 'answer.delta', text } }] });
    }
    await waitFor('both deltas', () => reader.seen.filter(({ event }) => event === 'answer.delta').length === 2);
    await lane.close('t1');
    await reader.ended;
    expect(reader.seen.map(({ id, event }) => `${id} ${event}`)).toEqual([
      ...['1 turn.queued', '2 turn.started', '2:1:1 answer.delta', '2:1:2 answer.delta', '3 turn.ended'],
    ]);
    expect(reader.seen.map(({ data }) => data['text']).join('')).toBe('Hello');
    const resumed = read(`/v1/users/${userId}/events?turn=t1`, { 'last-event-id': '2:1:2' });
    await resumed.ended;
    expect(resumed.seen.map(({ id }) => id)).toEqual(['3']);
    const settled = read(`/v1/users/${userId}/events?turn=t1`, { 'last-event-id': '3' });
    await settled.ended;
    expect(settled.seen).toEqual([]);
    expect((await ask(`/v1/users/${userId}/events?turn=t1`)).headers.get('connection')).toBe('close');
  });

  it('from an id that nobody gave out say so; of nobody they are refused', async () => {
    const reader = read('/v1/users/web-eve/events', { 'last-event-id': '999' });
    await reader.ended;
    expect(reader.seen.map(({ event }) => event)).toEqual(['resync']);
    expect(await ask('/v1/users/web-eve/events', { headers: { 'last-event-id': 'x' } })).toMatchObject({ status: 400 });
    expect(await ask('/v1/users/nobody/events')).toMatchObject({ status: 404, json: { code: 'USER_UNKNOWN' } });
    expect(await ask('/v1/users/web-eve/events?turn=none')).toMatchObject({
      status: 404,
      json: { code: 'TURN_UNKNOWN' },
    });
  });
});

describe('users and machines', () => {
  it('are created, read, put to sleep, woken and destroyed', async () => {
    expect(await ask('/v1/users/web-finn', { method: 'PUT', body: { idleMs: 60_000 } })).toMatchObject({ status: 201 });
    expect(await ask('/v1/users/web-finn', { method: 'PUT', body: {} })).toMatchObject({
      status: 200,
      json: { created: false },
    });
    const { json } = await ask('/v1/users/web-finn');
    expect(json).toMatchObject({
      userId: 'web-finn',
      state: 'active',
      idleMs: 60_000,
      machine: { phase: 'none', generation: 0 },
    });
    expect(json).not.toHaveProperty('workflowId');
    for (const verb of ['sleep', 'wake']) {
      expect((await ask(`/v1/users/web-finn/machine/${verb}`, { method: 'POST' })).status).toBe(202);
    }
    expect((await ask('/v1/users/web-finn/usage')).json).toMatchObject({ awakeSeconds: 0, vcpuHours: 0 });
    expect((await ask('/v1/users/web-finn', { method: 'DELETE' })).status).toBe(202);
    expect((await ask('/v1/users/web-finn')).json).toMatchObject({ state: 'destroying' });
  });

  it('are listed to operators, page by page', async () => {
    const page = await ask('/v1/users?limit=2', { key: keys.operator });
    const next = await ask(`/v1/users?limit=200&cursor=${String(page.json['next'])}`, { key: keys.operator });
    const ids = [page, next].flatMap(({ json }) => (json['items'] as { userId: string }[]).map(({ userId }) => userId));
    expect(ids).toEqual(ids.toSorted());
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toContain('web-ada');
  });
});

describe('whoever may not', () => {
  it.each([
    ['no credential', null],
    ['a key of nobody', `ik_000000000000_${'x'.repeat(43)}`],
    ['a key that is cut', 'ik_0000'],
    ['a token where none are taken', 'aaaa.bbbb.cccc'],
  ])('with %s is told so', async (_name, key) => {
    const answer = await ask('/v1/users/web-ada', { key });
    expect(answer).toMatchObject({ status: 401, json: { code: 'UNAUTHENTICATED', status: 401 } });
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
  });

  it('with a key that was revoked, or altered, is told so', async () => {
    const { key, keyId } = await createApiKey(test.store, { name: 'gone', scope: 'operator' });
    expect((await ask('/v1/users', { key })).status).toBe(200);
    const altered = key.slice(0, -1) + (key.endsWith('A') ? 'B' : 'A');
    expect((await ask('/v1/users', { key: altered })).status).toBe(401);
    await revokeApiKey(test.store, { keyId });
    expect((await ask('/v1/users', { key })).status).toBe(401);
  });

  it('has a service key does not see the list of users', async () => {
    expect(await ask('/v1/users')).toMatchObject({ status: 403, json: { code: 'FORBIDDEN' } });
  });
});

describe('bad input', () => {
  it.each([
    ['an empty prompt', { prompt: ' ' }, 400, 'PROMPT_EMPTY'],
    ['no prompt', {}, 400, 'INVALID_INPUT'],
    ['a prompt that is no text', { prompt: 7 }, 400, 'INVALID_INPUT'],
    ['a field that nobody knows', { prompt: 'x', promt: 'y' }, 400, 'INVALID_INPUT'],
    ['a prompt that is too long', { prompt: 'x'.repeat(64 * 1024 + 1) }, 400, 'PROMPT_TOO_LARGE'],
    ['a turn id with a slash', { prompt: 'x', turnId: 'a/b' }, 400, 'INVALID_TURN_ID'],
    ['a body that is no JSON', '{', 400, 'INVALID_INPUT'],
    ['a body that is too long', `{"prompt":"${'x'.repeat(513 * 1024)}"}`, 413, 'BODY_TOO_LARGE'],
  ])('%s is refused with a code, and stores nothing', async (_name, body, status, code) => {
    expect(await submit('web-gus', body)).toMatchObject({ status, json: { code } });
    expect(await ask('/v1/users/web-gus')).toMatchObject({ status: 404 });
  });

  it('a prompt of 64 KiB, every byte escaped, fits', async () => {
    const body = `{"prompt":"${'\\u0041'.repeat(64 * 1024)}"}`;
    expect((await submit('web-hugh', body)).status).toBe(202);
  });

  it('another media type, path, method, or user id is refused', async () => {
    const text = { method: 'POST', body: 'hello', headers: { 'content-type': 'text/plain' } };
    expect(await ask('/v1/users/web-gus/turns', text)).toMatchObject({
      status: 415,
      json: { code: 'MEDIA_TYPE_UNSUPPORTED' },
    });
    expect(await ask('/v2')).toMatchObject({ status: 404, json: { code: 'ROUTE_UNKNOWN' } });
    expect(await ask('/v1/users/web-gus', { method: 'PATCH' })).toMatchObject({
      status: 404,
      json: { code: 'ROUTE_UNKNOWN' },
    });
    expect(await ask(`/v1/users/${'x'.repeat(129)}`)).toMatchObject({ status: 400, json: { code: 'INVALID_USER_ID' } });
    expect(await ask('/v1/users/web-ada/turns?limit=0')).toMatchObject({
      status: 400,
      json: { code: 'INVALID_INPUT' },
    });
    expect(await ask('/v1/users/web-ada/turns?cursor=x')).toMatchObject({
      status: 400,
      json: { code: 'INVALID_INPUT' },
    });
  });
});

it('the document describes every route, and health needs no key', async () => {
  const { json } = await ask('/openapi.json', { key: null });
  expect(json).toMatchObject({ openapi: '3.1.0' });
  expect(Object.keys(json['paths'] as object).length).toBeGreaterThanOrEqual(10);
  expect((await ask('/healthz', { key: null })).json).toEqual({ status: 'ok' });
  expect((await ask('/readyz', { key: null })).status).toBe(200);
});

async function waitForTurn(lane: ReturnType<typeof openLane>) {
  let turn: Awaited<ReturnType<typeof lane.open>>['turn'] = null;
  await waitFor('a turn to open', async () => {
    turn = (await lane.open()).turn;
    return turn !== null;
  });
  return turn as unknown as NonNullable<typeof turn>;
}
