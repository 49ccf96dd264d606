/**
 * Goal: what chat clients ask for is taken or refused with what to do, whatever else their bodies hold, and a conversation is read page by page
 * with no turn cut in two. Method: the gateway on real Postgres and Temporal, asked over real connections; a lane that is played by hand.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CONVERSATION_BODY_BYTES_MAX } from '../../src/contracts/limits.js';
import { getTurn } from '../../src/store/turns.js';
import { bash, openLane, type TestLane } from '../store/support/lanes.js';
import { waitFor } from '../support/wait-for.js';
import { openGateway, type Answer, type TestGateway } from './support/gateway.js';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await openGateway({ origins: ['https://chat.example'] });
});
afterAll(() => gateway.close());

const text = (words: string) => ({ type: 'text', text: words });
const message = (id: string, ...parts: object[]) => ({ id, role: 'user', parts });
const chat = (user: string, body: object): Promise<Answer> =>
  gateway.ask(`/v1/users/${user}/ai-sdk/chat`, { method: 'POST', body });
const run = (user: string, body: object): Promise<Answer> =>
  gateway.ask(`/v1/users/${user}/ag-ui`, { method: 'POST', body: { threadId: 't', runId: 'r1', ...body } });
const promptOf = async (userId: string, turnId: string): Promise<string> =>
  (await getTurn(gateway.test.store, { userId, turnId })).prompt;

/** Plays the turn to its end once it was submitted. */
async function answer(lane: TestLane, turnId: string): Promise<void> {
  await waitFor('the turn is submitted', () => promptOf(lane.userId, turnId).catch(() => undefined));
  const { turn } = await lane.open();
  if (turn === null) throw new Error('no turn waits');
  await lane.answer(turn, 0, []);
}

describe('an AI SDK chat', () => {
  it.each([
    [
      'the agent is the last to speak',
      { messages: [message('m1', text('x')), { id: 'a', role: 'assistant', parts: [] }] },
    ],
    [
      'a file comes along',
      { messages: [message('m1', text('x'), { type: 'file', mediaType: 'image/png', url: 'data:,' })] },
    ],
    ['the message has no id', { messages: [{ role: 'user', parts: [text('x')] }] }],
    ['the id is none of a turn', { messages: [message('a/b', text('x'))] }],
    ['nothing is said', { messages: [message('m1')] }],
    ['there is no message', { messages: [] }],
    ['there is no list of them', {}],
    ['an answer is to be made anew', { messages: [message('m1', text('x'))], trigger: 'regenerate-message' }],
  ])('is refused where %s', async (_what, body) => {
    const { status, json } = await chat('chat-refused', body);
    expect([status, json['code']]).toEqual([
      400,
      expect.stringMatching(/^(INVALID_INPUT|INVALID_TURN_ID|PROMPT_EMPTY)$/),
    ]);
    expect((await gateway.ask('/v1/users/chat-refused')).status).toBe(404);
  });

  it('says all parts of the last message, whatever came before it', async () => {
    const lane = openLane(gateway.test.store, 'chat-parts');
    const history = [{ role: 'odd', parts: 7 }, message('m1', { type: 'file' })];
    const asked = chat('chat-parts', {
      id: 'c',
      messages: [...history, message('m2', text('one'), text('two'))],
      more: 1,
    });
    await answer(lane, 'm2');
    const answered = await asked;
    expect([answered.status, answered.headers.get('x-vercel-ai-ui-message-stream')]).toEqual([200, 'v1']);
    expect(answered.text).toMatch(/"type":"finish"}\n\ndata: \[DONE\]\n\n$/);
    expect(await promptOf('chat-parts', 'm2')).toBe('one\ntwo');
    const other = await chat('chat-parts', { messages: [message('m2', text('else'))] });
    expect(other).toMatchObject({ status: 409, json: { code: 'TURN_ID_REUSED' } });
  });

  it('may send a conversation along up to its bound', async () => {
    const lane = openLane(gateway.test.store, 'chat-long');
    const before = (bytes: number) => message('m1', text('x'.repeat(bytes)));
    const last = message('m2', text('hello'));
    const asked = chat('chat-long', { messages: [before(CONVERSATION_BODY_BYTES_MAX - 1_000), last] });
    await answer(lane, 'm2');
    expect((await asked).status).toBe(200);
    const beyond = await chat('chat-long', { messages: [before(CONVERSATION_BODY_BYTES_MAX), last] });
    expect(beyond).toMatchObject({ status: 413, json: { code: 'BODY_TOO_LARGE' } });
  });

  it('of nobody is empty, and nothing of it is followed; a turn that is named must be one', async () => {
    const of = '/v1/users/chat-nobody/ai-sdk/chat/c';
    expect(await gateway.ask(`${of}/messages`)).toMatchObject({ status: 200, json: { items: [], next: null } });
    expect((await gateway.ask(`${of}/stream`)).status).toBe(204);
    expect(await gateway.ask(`${of}/stream?turn=t1`)).toMatchObject({ status: 404, json: { code: 'USER_UNKNOWN' } });
  });

  it('is read by pages that begin with words of the user, and leaves out the answer that is being made', async () => {
    const lane = openLane(gateway.test.store, 'chat-pages');
    for (const turnId of ['t1', 't2']) {
      const turn = await lane.run(turnId, `say ${turnId}`);
      for (const step of [0, 1])
        await lane.answer(turn, step, [{ ...bash('x'), invalid: { reason: 'invalid_call', shown: 'no' } }]);
      await lane.answer(turn, 2, []);
    }
    await lane.answer(await lane.run('t3', 'say t3'), 0, [bash('y')]);
    const pages: string[][] = [];
    let next: unknown = '';
    while (next !== null) {
      const cursor = next === '' ? '' : `&cursor=${String(next)}`;
      const { json } = await gateway.ask(`/v1/users/chat-pages/ai-sdk/chat/c/messages?limit=2${cursor}`);
      pages.push((json['items'] as { id: string }[]).map(({ id }) => id));
      next = json['next'];
    }
    expect(pages).toEqual([['t3'], ['t2', 't2/answer'], ['t1', 't1/answer']]);
    const { json } = await gateway.ask('/v1/users/chat-pages/ai-sdk/chat/c/messages');
    expect((json['items'] as { parts: { type: string }[] }[])[1]?.parts.map(({ type }) => type)).toEqual([
      ...['step-start', 'text', 'dynamic-tool', 'step-start', 'text', 'dynamic-tool', 'step-start', 'text'],
    ]);
  });

  it('follows the turn that runs rather than one that waits', async () => {
    const lane = openLane(gateway.test.store, 'chat-queue');
    const turn = await lane.run('t1');
    await lane.admit('t2');
    // Its headers are here: it follows a turn.
    const followed = await fetch(`${gateway.base}/v1/users/chat-queue/ai-sdk/chat/c/stream`, {
      headers: { authorization: `Bearer ${gateway.keys.service}` },
    });
    await lane.answer(turn, 0, []);
    expect(await followed.text()).toContain('"messageId":"t1/answer"');
  });
});

describe('an AG-UI run', () => {
  it.each([
    ['an image comes along', { messages: [{ id: 'm', role: 'user', content: [{ type: 'image' }] }] }, 'INVALID_INPUT'],
    ['nothing is said', { messages: [{ id: 'm', role: 'user', content: ' ' }] }, 'PROMPT_EMPTY'],
    [
      'its id is none of a turn',
      { runId: 'a/b', messages: [{ id: 'm', role: 'user', content: 'x' }] },
      'INVALID_TURN_ID',
    ],
    ['there are no messages', {}, 'INVALID_INPUT'],
  ])('is refused where %s', async (_what, body, code) => {
    expect(await run('run-refused', body)).toMatchObject({ status: 400, json: { code } });
    expect((await gateway.ask('/v1/users/run-refused')).status).toBe(404);
  });

  it('that nobody knows cannot be followed', async () => {
    expect(await run('run-refused', { messages: [] })).toMatchObject({ status: 404, json: { code: 'USER_UNKNOWN' } });
  });

  it('says the last words of the user, whatever else its input holds', async () => {
    const lane = openLane(gateway.test.store, 'run-parts');
    const messages = [
      { id: 's', role: 'system', content: 'you are' },
      { id: 'm1', role: 'user', content: [text('one'), text('two')] },
      { id: 'r1/0/text', role: 'assistant', content: 'half an ans' },
    ];
    const asked = run('run-parts', {
      messages,
      tools: [{ name: 'x' }],
      state: { a: 1 },
      context: [],
      forwardedProps: {},
    });
    await answer(lane, 'r1');
    const events = (await asked).text.split('\n\n').slice(0, -1);
    expect(events[1]).toContain('"type":"MESSAGES_SNAPSHOT"');
    expect(events[1]).not.toContain('half an ans');
    expect(events.at(-1)).toContain('"type":"RUN_FINISHED"');
    expect(await promptOf('run-parts', 'r1')).toBe('one\ntwo');
  });
});

describe('a page of another site', () => {
  it('may ask for a cancel on disconnect where it may ask at all', async () => {
    const preflight = await gateway.ask('/v1/users/u/ag-ui', {
      ...{ method: 'OPTIONS', key: null },
      headers: {
        origin: 'https://chat.example',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization, x-innkeeper-cancel-on-disconnect',
      },
    });
    expect(preflight.headers.get('access-control-allow-headers')).toContain('x-innkeeper-cancel-on-disconnect');
  });
});
