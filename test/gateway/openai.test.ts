/**
 * Goal: a client of OpenAI's API is told whose machine it asks for, is held and followed as it expects, and hears of every trouble in
 * that API's words with our codes. Method: the gateway on real Postgres and Temporal, asked over real connections; a lane that is
 * played by hand.
 */
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CONVERSATION_BODY_BYTES_MAX } from '../../src/contracts/limits.js';
import { openAiId } from '../../src/gateway/openai-ids.js';
import { getTurn, listTurns, type TurnView } from '../../src/store/turns.js';
import { openLane } from '../store/support/lanes.js';
import { waitFor } from '../support/wait-for.js';
import { openGateway, type Answer, type TestGateway } from './support/gateway.js';

const CHAT = '/v1/chat/completions';
const RESPONSES = '/v1/responses';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await openGateway();
});
afterAll(() => gateway.close());

type Headers = Record<string, string>;
const post = (path: string, body: unknown, headers: Headers = {}, of = gateway): Promise<Answer> =>
  of.ask(path, { method: 'POST', body, headers });
const saying = (content: unknown, more: object = {}): object => ({ messages: [{ role: 'user', content }], ...more });

const turnsOf = (userId: string): Promise<TurnView[]> =>
  listTurns(gateway.test.store, { userId, limit: 100 }).catch(() => []);

/** Answers the user's next turn once it is there. */
async function play(userId: string, finish: 'answer' | 'fail' | 'cancel' = 'answer'): Promise<void> {
  const lane = openLane(gateway.test.store, userId);
  await waitFor('a turn waits', async () => (await turnsOf(userId)).some(({ state }) => state === 'queued'));
  if (finish === 'cancel') {
    const [{ turnId } = { turnId: '' }] = await turnsOf(userId);
    await gateway.client.cancelTurn({ userId, turnId });
    return;
  }
  const { turn } = await lane.open();
  if (turn === null) throw new Error('no turn was opened');
  if (finish === 'fail') await lane.close(turn.turnId);
  else await lane.answer(turn, 0, []);
}

describe('models', () => {
  it('are one', async () => {
    const model = { id: 'innkeeper', object: 'model' };
    expect(await gateway.ask('/v1/models')).toMatchObject({ status: 200, json: { object: 'list', data: [model] } });
    expect(await gateway.ask('/v1/models/innkeeper')).toMatchObject({ status: 200, json: model });
    expect(await gateway.ask('/v1/models/gpt-9')).toMatchObject({
      status: 404,
      json: { error: { code: 'MODEL_UNKNOWN', param: 'model', type: 'invalid_request_error' } },
    });
  });
});

describe('a request', () => {
  it.each([
    [CHAT, saying('hello', { user: 'oai-held' }), { object: 'chat.completion' }],
    [RESPONSES, { input: 'hello', user: 'oai-held-too' }, { object: 'response', status: 'completed' }],
  ])('of %s is held until its turn is over', async (path, body, expected) => {
    const held = post(path, body);
    await play((body as { user: string }).user);
    const { status, json, headers } = await held;
    expect([status, json]).toEqual([200, expect.objectContaining({ ...expected, model: 'innkeeper' })]);
    expect(JSON.stringify(json)).toContain('answer 0');
    expect(Object.values(json['usage'] as object)).toEqual(expect.arrayContaining([10, 2, 12]));
    expect(headers.get('x-request-id')).toMatch(/\S/);
  });

  it('that is not over within its bound says how to join it, and the turn goes on', async () => {
    const short = await openGateway({ holds: { answerMs: 50, cancelMs: 50 } });
    try {
      const refused = await post(CHAT, saying('hello', { user: 'oai-long' }), {}, short);
      expect(refused).toMatchObject({ status: 504, json: { error: { code: 'RESULT_TIMEOUT', type: 'server_error' } } });
      expect(refused.headers.get('x-should-retry')).toBe('true');
      expect((refused.json['error'] as { message: string }).message).toMatch(/same request again/);
      const [turn, ...more] = await listTurns(short.test.store, { userId: 'oai-long', limit: 9 });
      expect([turn?.state, more]).toEqual(['queued', []]);
      const ref = { userId: 'oai-long', turnId: turn?.turnId ?? '' };
      await openLane(short.test.store, ref.userId).open();
      // Nobody ends it: a cancel answers what it is by then.
      expect(await post(`${RESPONSES}/${openAiId('resp', ref)}/cancel`, undefined, {}, short)).toMatchObject({
        ...{ status: 200, json: { status: 'in_progress', error: null } },
      });
      expect(await getTurn(short.test.store, ref)).toMatchObject({ state: 'running', isCancelRequested: true });
    } finally {
      await short.close();
    }
  });

  it('whose turn fails or is cancelled is an error that is not worth a retry', async () => {
    for (const [userId, how, status, code] of [
      ['oai-fails', 'fail', 500, 'INTERNAL'],
      ['oai-cancels', 'cancel', 409, 'CANCELLED'],
    ] as const) {
      for (const [path, body] of [
        [CHAT, saying('hello', { user: userId })] as const,
        [RESPONSES, { input: 'hi', user: userId }] as const,
      ]) {
        const held = post(path, body);
        await play(userId, how);
        const answer = await held;
        expect(answer).toMatchObject({ status, json: { error: { code } } });
        expect(answer.headers.get('x-should-retry')).toBe('false');
      }
    }
  });

  it('sent many times at once is one turn, and so is its retry', async () => {
    const body = saying('hello', { user: 'oai-many' });
    const many = Array.from({ length: 20 }, () => post(CHAT, body));
    await play('oai-many');
    const ids = new Set((await Promise.all(many)).map(({ status, json }) => `${status} ${String(json['id'])}`));
    expect(ids.size).toBe(1);
    const retry = await post(CHAT, body, { 'x-stainless-retry-count': '1' });
    expect(ids).toContain(`200 ${String(retry.json['id'])}`);
    expect(await turnsOf('oai-many')).toHaveLength(1);
  });

  it('with an idempotency key is the turn of that id', async () => {
    const headers = { 'idempotency-key': 'key-1' };
    const body = saying('hello', { user: 'oai-keyed' });
    const held = post(CHAT, body, headers);
    await play('oai-keyed');
    const { json } = await held;
    expect((await turnsOf('oai-keyed')).map(({ turnId }) => turnId)).toEqual(['key-1']);
    // Long over, and still the same.
    expect((await post(CHAT, body, headers)).json).toEqual(json);
    expect(await post(CHAT, saying('else', { user: 'oai-keyed' }), headers)).toMatchObject({
      ...{ status: 409, json: { error: { code: 'TURN_ID_REUSED' } } },
    });
    expect(await post(CHAT, body, { 'idempotency-key': 'a/b' })).toMatchObject({
      ...{ status: 400, json: { error: { code: 'INVALID_TURN_ID' } } },
    });
  });

  it('takes the last message of the user, its text parts together, whatever the history holds', async () => {
    const picture = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } };
    const messages = [
      { role: 'system', content: 'You are a pirate.' },
      { role: 'user', content: [{ type: 'text', text: 'What is this?' }, picture] },
      { role: 'assistant', content: null, tool_calls: [{ id: 'x', type: 'function' }] },
      { role: 'tool', tool_call_id: 'x', content: 'a ship' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'one' },
          { type: 'text', text: 'two' },
        ],
      },
      { role: 'assistant', content: 'thr' },
    ];
    const sampling = {
      temperature: 0,
      max_tokens: 5,
      stop: ['x'],
      tools: [{ type: 'function' }],
      tool_choice: 'auto',
      n: 1,
    };
    const held = post(CHAT, { model: 'innkeeper', messages, user: 'oai-history', ...sampling });
    await play('oai-history');
    expect((await held).status).toBe(200);
    const items = [
      { type: 'function_call_output', call_id: 'x', output: 'y' },
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'three' }] },
    ];
    const second = post(RESPONSES, { input: items, user: 'oai-history', store: false });
    await play('oai-history');
    expect((await second).status).toBe(200);
    expect((await turnsOf('oai-history')).map(({ prompt }) => prompt)).toEqual(['three', 'one\ntwo']);
  });

  it('may carry a long conversation, within its bound', async () => {
    const long = (bytes: number): object => ({
      messages: [
        { role: 'assistant', content: 'x'.repeat(bytes) },
        { role: 'user', content: 'hello' },
      ],
      user: 'oai-lengthy',
    });
    const held = post(CHAT, long(CONVERSATION_BODY_BYTES_MAX - 1_000));
    await play('oai-lengthy');
    expect((await held).status).toBe(200);
    expect(await post(CHAT, long(CONVERSATION_BODY_BYTES_MAX))).toMatchObject({
      ...{ status: 413, json: { error: { code: 'BODY_TOO_LARGE', type: 'invalid_request_error' } } },
    });
  });

  const picture = { type: 'image_url', image_url: { url: 'x' } };
  it.each<[string, string, object, string, string | null]>([
    ['two answers', CHAT, saying('x', { n: 2 }), 'INVALID_INPUT', 'n'],
    ['JSON', CHAT, saying('x', { response_format: { type: 'json_object' } }), 'INVALID_INPUT', 'response_format'],
    ["a client's tool", CHAT, saying('x', { tool_choice: 'required' }), 'INVALID_INPUT', 'tool_choice'],
    ['a picture', CHAT, saying([{ type: 'text', text: 'what is it?' }, picture]), 'INVALID_INPUT', 'messages'],
    ['nothing', CHAT, saying(null), 'INVALID_INPUT', 'messages'],
    ['no word of the user', CHAT, { messages: [{ role: 'assistant', content: 'x' }] }, 'INVALID_INPUT', 'messages'],
    ['no message', CHAT, { messages: [] }, 'INVALID_INPUT', 'messages'],
    ['no messages', CHAT, {}, 'INVALID_INPUT', 'messages'],
    ['white space', CHAT, saying(' '), 'PROMPT_EMPTY', null],
    ['too much', CHAT, saying('x'.repeat(70_000)), 'PROMPT_TOO_LARGE', null],
    ['another model', CHAT, saying('x', { model: 'gpt-9' }), 'MODEL_UNKNOWN', 'model'],
    [
      ...(['a picture', RESPONSES, { input: [{ role: 'user', content: [{ type: 'input_image' }] }] }] as const),
      ...(['INVALID_INPUT', 'input'] as const),
    ],
    ['JSON', RESPONSES, { input: 'x', text: { format: { type: 'json_schema' } } }, 'INVALID_INPUT', 'text'],
    ['a conversation', RESPONSES, { input: 'x', conversation: 'conv_1' }, 'INVALID_INPUT', 'conversation'],
    ['no response', RESPONSES, { input: 'x', previous_response_id: 'no' }, 'TURN_UNKNOWN', 'previous_response_id'],
  ])('for %s of %s is refused, with the field', async (_what, path, body, code, param) => {
    const { status, json } = await post(path, { user: 'oai-refused', ...body });
    expect([Math.floor(status / 100), json]).toEqual([
      4,
      { error: expect.objectContaining({ code, param }) as unknown },
    ]);
    expect(await turnsOf('oai-refused')).toEqual([]);
  });
});

describe('the user', () => {
  it('is named by the body or by the header, in one voice', async () => {
    for (const [body, headers, code] of [
      [{}, {}, 'USER_MISSING'],
      [{ user: 'oai-a' }, { 'x-innkeeper-user': 'oai-b' }, 'INVALID_INPUT'],
      [{ user: 'a/b' }, {}, 'INVALID_USER_ID'],
      [{}, { 'x-innkeeper-user': '%zz' }, 'INVALID_USER_ID'],
    ] as const) {
      const refused = await post(CHAT, saying('hello', body), headers);
      expect(refused).toMatchObject({ status: 400, json: { error: { code } } });
    }
    expect((await Promise.all(['oai-a', 'oai-b'].map(turnsOf))).flat()).toEqual([]);
    const headers = { 'x-innkeeper-user': encodeURIComponent('oai-jörg') };
    expect((await post(RESPONSES, { input: 'hello', background: true }, headers)).status).toBe(200);
    expect(await turnsOf('oai-jörg')).toHaveLength(1);
  });

  it('is counted, whoever asks', async () => {
    const few = await openGateway({
      rates: { keyPerMinute: 100, userPerMinute: 2 },
      holds: { answerMs: 1, cancelMs: 1 },
    });
    try {
      const say = (user: string, key: string): Promise<Answer> =>
        few.ask(CHAT, { method: 'POST', key, body: saying('hello', { user }) });
      const { service, operator } = few.keys;
      const statuses = [];
      for (const key of [service, operator, service]) statuses.push((await say('oai-counted', key)).status);
      expect(statuses).toEqual([504, 504, 429]);
      const refused = await say('oai-counted', operator);
      expect(refused.json).toMatchObject({ error: { code: 'RATE_LIMITED', type: 'rate_limit_error' } });
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
      // By whichever route.
      expect((await few.ask('/v1/users/oai-counted')).status).toBe(429);
      expect((await say('oai-not-counted', service)).status).toBe(504);
    } finally {
      await few.close();
    }
  });

  it('is nobody to whoever has no key', async () => {
    for (const key of [null, 'ik_none']) {
      const refused = await gateway.ask(CHAT, { method: 'POST', key, body: saying('hello', { user: 'oai-x' }) });
      expect(refused).toMatchObject({
        ...{ status: 401, json: { error: { code: 'UNAUTHENTICATED', type: 'authentication_error' } } },
      });
      expect(refused.headers.get('x-should-retry')).toBe('false');
      expect(refused.headers.get('www-authenticate')).toBe('Bearer');
    }
  });
});

describe('a response', () => {
  it('is known by its id, to its own user alone, and goes on by it', async () => {
    const started = await post(RESPONSES, { input: 'hello', user: 'oai-known', background: true });
    expect(started).toMatchObject({ status: 200, json: { status: 'queued', output: [], usage: null } });
    const path = `${RESPONSES}/${String(started.json['id'])}`;
    expect((await gateway.ask(path)).json).toMatchObject({ status: 'queued', completed_at: null });
    await play('oai-known');
    const read = await gateway.ask(path, { headers: { 'x-innkeeper-user': 'oai-known' } });
    expect(read.json).toMatchObject({ status: 'completed', output: [{ content: [{ text: 'answer 0' }] }] });

    const previous = { previous_response_id: started.json['id'] };
    const next = post(RESPONSES, { input: 'and', user: 'oai-known', ...previous });
    await play('oai-known');
    expect(await next).toMatchObject({ status: 200, json: previous });

    await gateway.client.createUser({ userId: 'oai-stranger' });
    const unknown = { status: 404, json: { error: { code: 'TURN_UNKNOWN' } } };
    expect(await gateway.ask(path, { headers: { 'x-innkeeper-user': 'oai-stranger' } })).toMatchObject(unknown);
    expect(await post(RESPONSES, { input: 'and', user: 'oai-stranger', ...previous })).toMatchObject(unknown);
    for (const ref of [
      { userId: 'oai-known', turnId: 'none' },
      { userId: 'oai-nobody', turnId: 'none' },
    ]) {
      const id = openAiId('resp', ref);
      expect(await gateway.ask(`${RESPONSES}/${id}`)).toMatchObject(unknown);
      expect(await post(`${RESPONSES}/${id}/cancel`, undefined)).toMatchObject(unknown);
    }
    expect(await gateway.ask(`${RESPONSES}/resp_x`)).toMatchObject(unknown);
  });
});

describe('a client that leaves', () => {
  it.each([
    ['a stream', CHAT, true],
    ['a stream', RESPONSES, true],
    ['a whole answer', CHAT, false],
    ['a whole answer', RESPONSES, false],
  ])('before the end of %s (%s) cancels nothing, unless it asks for that', async (_of, path, stream) => {
    const stay = `oai-stay-${stream}-${path.length}`;
    const go = `oai-go-${stream}-${path.length}`;
    const body = (user: string): object => ({
      ...(path === CHAT ? saying('hello') : { input: 'hello' }),
      user,
      stream,
    });
    const leave = [
      leaver(path, body(stay), {}),
      leaver(path, body(go), { 'x-innkeeper-cancel-on-disconnect': 'true' }),
    ];
    for (const userId of [stay, go]) await waitFor('the turn waits', async () => (await turnsOf(userId)).length === 1);
    if (stream) await waitFor('both streams have begun', () => leave.every(({ heard }) => heard() !== ''));
    for (const { leave: now } of leave) now();
    await waitFor('the one is cancelled', async () => (await turnsOf(go))[0]?.state === 'cancelled');
    expect((await turnsOf(stay))[0]).toMatchObject({ state: 'queued', isCancelRequested: false });
  });
});

describe('the end of the gateway', () => {
  it('is told to whoever is held or follows, and the turn goes on', async () => {
    const ending = await openGateway();
    try {
      const held = post(CHAT, saying('held', { user: 'oai-ending' }), {}, ending);
      const streams = [
        leaver(CHAT, saying('streamed', { user: 'oai-ending-1', stream: true }), {}, ending),
        leaver(RESPONSES, { input: 'streamed', user: 'oai-ending-2', stream: true }, {}, ending),
      ];
      const open = (userId: string): Promise<TurnView> =>
        waitFor(`the turn of ${userId}`, async () =>
          listTurns(ending.test.store, { userId, limit: 1 }).then(
            ([turn]) => turn,
            () => undefined,
          ),
        );
      await Promise.all(['oai-ending', 'oai-ending-1', 'oai-ending-2'].map(open));
      await waitFor('the streams have begun', () => streams.every(({ heard }) => heard().includes('data: ')));
      await ending.app.close();
      expect(await held).toMatchObject({ status: 504, json: { error: { code: 'RESULT_TIMEOUT' } } });
      await Promise.all(streams.map(({ ended }) => ended));
      for (const { heard } of streams) expect(heard()).toContain('"code":"RESULT_TIMEOUT"');
      const { turnId } = await open('oai-ending');
      const turn = await getTurn(ending.test.store, { userId: 'oai-ending', turnId });
      expect(turn).toMatchObject({ state: 'queued', isCancelRequested: false });
    } finally {
      await ending.close();
    }
  });
});

interface Leaver {
  readonly heard: () => string;
  readonly leave: () => void;
  readonly ended: Promise<void>;
}

/** A client that can break off. */
function leaver(path: string, body: object, headers: Headers, { base, keys } = gateway): Leaver {
  let heard = '';
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const asked = httpRequest(
    `${base}${path}`,
    {
      method: 'POST',
      headers: { authorization: `Bearer ${keys.service}`, 'content-type': 'application/json', ...headers },
    },
    (answer) => {
      answer.setEncoding('utf8').on('data', (text: string) => (heard += text));
      answer.on('error', () => undefined).once('close', end); // Left.
    },
  );
  asked.on('error', () => undefined); // Left.
  asked.end(JSON.stringify(body));
  return { heard: () => heard, leave: () => void asked.destroy(), ended };
}
