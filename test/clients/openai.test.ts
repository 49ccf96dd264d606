/**
 * Goal: OpenAI's client works unchanged, and whatever happens to its connection a message is one turn whose commands ran once.
 * Method: the published client at a whole stack; what it got beside Postgres and the machine's journal; everything that
 * docs/clients.md shows.
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { TURN_MS, untilWritten } from '../e2e/support/actions.js';
import { leakedMachines, openStage, type Stage } from '../e2e/support/stage.js';
import { waitFor } from '../support/wait-for.js';
import { runSnippets } from './support/run-snippets.js';
import { snippetsOf } from './support/snippets.js';

const MODEL = 'innkeeper';
const CHAT = 'OpenAI: chat completions';
const RESPONSES = 'OpenAI: responses';

let stage: Stage;
let url = '';
let key = '';
beforeAll(async () => {
  stage = await openStage();
  ({ url } = await stage.stack.startGateway());
  key = await stage.createKey();
});
afterAll(async () => {
  expect(await leakedMachines(stage)).toEqual([]);
  await stage.close();
});

const clientAt = (base = url, options: Partial<ConstructorParameters<typeof OpenAI>[0]> = {}): OpenAI =>
  new OpenAI({ baseURL: `${base}/v1`, apiKey: key, ...options });
const saying = (user: string, content: string) => ({
  ...{ model: MODEL, user },
  messages: [{ role: 'user' as const, content }],
});
const asking = (user: string, input: string) => ({ model: MODEL, user, input });
const shown = (commands: 'text' | 'annotation' | 'none') => ({ headers: { 'x-innkeeper-commands': commands } });

interface Recorded {
  readonly turnId: string;
  readonly state: string;
  readonly answer: string | null;
  readonly input: number;
  readonly output: number;
}

/** The user's turns in their order, as Postgres has them. */
function recorded(userId: string): Promise<Recorded[]> {
  return stage.sql<Recorded>(
    `select t.turn_id as "turnId", t.state, t.answer, coalesce(sum(s.input_tokens), 0)::integer as input,
       coalesce(sum(s.output_tokens), 0)::integer as output
     from turns t left join steps s using (turn_key) where t.user_id = $1 group by t.turn_key order by t.position`,
    [userId],
  );
}

async function one(userId: string): Promise<Recorded> {
  const [turn, ...more] = await recorded(userId);
  if (turn === undefined || more.length > 0) throw new Error(`${userId} has ${more.length} turns more than one`);
  return turn;
}

/** How often each command began, by the machine's own journal. */
const startsOf = async (userId: string): Promise<number[]> => (await stage.journal(userId)).map(({ starts }) => starts);

async function textOf(stream: AsyncIterable<OpenAI.ChatCompletionChunk>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  return text;
}

const SPOKEN = '!model pace 100\nTell me what you can do.';

describe('a chat completion', () => {
  it('is the answer that is on record, with what it used', { timeout: TURN_MS }, async () => {
    const completion = await clientAt().chat.completions.create(saying('oai-plain', 'What can you do?'));
    const { state, answer, input, output } = await one('oai-plain');
    expect(state).toBe('completed');
    expect(input).toBeGreaterThan(0);
    expect(completion).toMatchObject({
      ...{ object: 'chat.completion', model: MODEL },
      choices: [{ message: { role: 'assistant', content: answer }, finish_reason: 'stop' }],
      usage: { prompt_tokens: input, completion_tokens: output, total_tokens: input + output },
    });
  });

  it('comes in pieces as it is made, and is the answer that is on record', { timeout: TURN_MS }, async () => {
    const stream = await clientAt().chat.completions.create({
      ...{ ...saying('oai-stream', SPOKEN), stream: true, stream_options: { include_usage: true } },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const { answer, input, output } = await one('oai-stream');
    const pieces = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').filter((piece) => piece !== '');
    expect(pieces.length).toBeGreaterThan(2);
    expect(pieces.join('')).toBe(answer);
    expect(chunks[0]?.choices[0]?.delta.role).toBe('assistant');
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: input, completion_tokens: output } });
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(await stage.sql('select from turn_deltas')).toEqual([]);
  });

  it('is put together by the client itself', { timeout: TURN_MS }, async () => {
    const helper = clientAt().chat.completions.stream(saying('oai-helper', SPOKEN));
    expect(await helper.finalContent()).toBe((await one('oai-helper')).answer);
  });

  it('of several users at once is for each their own', { timeout: TURN_MS }, async () => {
    const users = ['oai-two-a', 'oai-two-b'];
    const say = (user: string) => clientAt().chat.completions.create(saying(user, `$ echo ${user} | tee whose.txt`));
    const completions = await Promise.all(users.map(say));
    for (const [at, user] of users.entries()) {
      expect(completions[at]?.choices[0]?.message.content).toContain(`${user}\n`);
      expect(await stage.lines(user, 'whose.txt')).toEqual([user]);
    }
    expect(new Set(await Promise.all(users.map((user) => stage.machineId(user)))).size).toBe(2);
  });
});

describe('commands', () => {
  // It prints what would end a block of three.
  const PROMPT = String.raw`$ printf '%s\n' '~~~' '${'`'.repeat(4)}' '# out'`;
  const OUTPUT = `~~~\n${'`'.repeat(4)}\n# out`;
  const FENCE = '`'.repeat(5);

  it('come within the text, in a block that they cannot get out of', { timeout: TURN_MS }, async () => {
    const user = 'oai-commands';
    const stream = await clientAt().chat.completions.create({ ...saying(user, PROMPT), stream: true });
    const text = await textOf(stream);
    const { answer } = await one(user);
    const command = `${FENCE}console\n${PROMPT}\n${FENCE}`;
    expect(text).toBe(`${command}\n\n${FENCE}\n${OUTPUT}\n[exit code 0]\n${FENCE}\n\n${answer ?? ''}`);
    // A retry by the client, whole: the same words from the record.
    const again = await clientAt().chat.completions.create(
      { ...saying(user, PROMPT), stream: true },
      { headers: { 'x-stainless-retry-count': '1' } },
    );
    expect(await textOf(again)).toBe(text);
    expect(await startsOf(user)).toEqual([1]);
  });

  it('come beside the text, or not at all', { timeout: TURN_MS }, async () => {
    const user = 'oai-annotated';
    const ended = { tool: 'bash', title: PROMPT.slice(2), outcome: 'exited', exitCode: 0 };
    const whole = await clientAt().chat.completions.create(saying(user, PROMPT), shown('annotation'));
    const { answer } = await one(user);
    expect(whole.choices[0]?.message.content).toBe(answer);
    expect(whole).toMatchObject({ innkeeper: { commands: [ended] } });
    expect(whole.choices[0]?.message.tool_calls).toBeUndefined();

    const retry = { headers: { ...shown('annotation').headers, 'x-stainless-retry-count': '1' } };
    const stream = await clientAt().chat.completions.create({ ...saying(user, PROMPT), stream: true }, retry);
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const beside = chunks.flatMap((chunk) => ('innkeeper' in chunk ? [chunk.innkeeper] : []));
    expect(beside).toMatchObject([{ command: { outcome: null } }, { command: ended }]);
    const said = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('');
    expect(said).toBe((await recorded(user)).at(-1)?.answer);

    const none = await clientAt().chat.completions.create(saying('oai-none', PROMPT), shown('none'));
    expect(none.choices[0]?.message.content).toBe((await one('oai-none')).answer);
    expect(none).not.toHaveProperty('innkeeper');
  });
});

describe('trouble', () => {
  it('of the turn is an error with our code, and no second turn', { timeout: TURN_MS }, async () => {
    const failing = saying('oai-refused', '!model refuse\n$ echo never');
    await expect(clientAt().chat.completions.create(failing)).rejects.toMatchObject({
      ...{ status: 502, code: 'MODEL_REFUSED', type: 'server_error' },
    });
    expect((await one('oai-refused')).state).toBe('failed');
    const stream = await clientAt().chat.completions.create({
      ...saying('oai-refused-too', '!model refuse'),
      stream: true,
    });
    await expect(textOf(stream)).rejects.toMatchObject({ code: 'MODEL_REFUSED' });
    expect((await one('oai-refused-too')).state).toBe('failed');
  });

  it(
    'of the model in mid-answer leaves the whole answer, and says where another was cut off',
    { timeout: TURN_MS },
    async () => {
      const user = 'oai-reset';
      const runner = clientAt().responses.stream(
        asking(user, '!model pace 100\n$ echo hi\n!model reset'),
        shown('none'),
      );
      let said = '';
      runner.on('response.output_text.delta', ({ delta }) => void (said += delta));
      const { output } = await runner.finalResponse();
      const { answer } = await one(user);
      expect(output).toMatchObject([{ content: [{ text: answer }] }]);
      const [, cut = '', whole = said] = /^([^]*)\n\n\[.*begins anew.*\]\n\n([^]*)$/.exec(said) ?? [];
      expect(whole).toBe(answer);
      expect('This answer is cut off by a broken connection').toContain(cut);
    },
  );

  it('of a wrong key or a user that is not named is told before there is a turn', async () => {
    const wrong = clientAt(url, { apiKey: 'ik_none' });
    const refused = wrong.chat.completions.create(saying('oai-nobody', 'hello'));
    await expect(refused).rejects.toMatchObject({ status: 401, code: 'UNAUTHENTICATED', type: 'authentication_error' });
    await expect(refused).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    const { user: _user, ...unnamed } = saying('oai-nobody', 'hello');
    await expect(clientAt().chat.completions.create(unnamed)).rejects.toMatchObject({
      ...{ status: 400, code: 'USER_MISSING', message: expect.stringContaining('x-innkeeper-user') as string },
    });
    await expect(clientAt().models.retrieve('gpt-9')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    expect((await clientAt().models.list()).data.map(({ id }) => id)).toEqual([MODEL]);
    expect(await recorded('oai-nobody')).toEqual([]);
  });

  it('of a rate says when to come back', { timeout: TURN_MS }, async () => {
    const gateway = await stage.stack.startGateway({ GATEWAY_USER_REQUESTS_PER_MINUTE: '1' });
    const impatient = clientAt(gateway.url, { maxRetries: 0 });
    await impatient.responses.create({ ...asking('oai-often', 'hello'), background: true });
    const refused: unknown = await impatient.chat.completions
      .create(saying('oai-often', 'more'))
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(OpenAI.RateLimitError);
    expect(refused).toMatchObject({ code: 'RATE_LIMITED' });
    expect(Number((refused as InstanceType<typeof OpenAI.RateLimitError>).headers.get('retry-after'))).toBeGreaterThan(
      0,
    );
    await gateway.process.stop();
  });

  it('of a cancel ends the command and the stream', { timeout: TURN_MS }, async () => {
    const user = 'oai-cancel';
    const stream = await clientAt().chat.completions.create({
      ...saying(user, '$ echo on >> on.txt; sleep 300'),
      stream: true,
    });
    let id = '';
    const reading = (async () => {
      for await (const chunk of stream) ({ id } = chunk);
    })();
    const read = expect(reading).rejects.toMatchObject({ code: 'CANCELLED' });
    await untilWritten(stage, user, 'on.txt');
    const cancelled = await clientAt().responses.cancel(id.replace('chatcmpl_', 'resp_'));
    expect(cancelled).toMatchObject({ status: 'cancelled', error: { code: 'CANCELLED' } });
    await read;
    expect((await one(user)).state).toBe('cancelled');
    const [command] = await stage.journal(user);
    expect(command?.endedAtMs).toEqual(expect.any(Number));
  });
});

describe('a connection that breaks', () => {
  const COUNTING = '$ for i in 1 2 3 4; do echo "line $i" | tee -a counted.txt; sleep 0.5; done';

  it(
    'in mid-answer is resumed by the same request: one turn, one run of the command',
    { timeout: TURN_MS },
    async () => {
      const user = 'oai-resume';
      const body = { ...saying(user, COUNTING), stream: true as const };
      const cut = await clientAt().chat.completions.create(body);
      const reading = textOf(cut);
      await untilWritten(stage, user, 'counted.txt', 2);
      cut.controller.abort();
      await reading;
      const text = await textOf(await clientAt().chat.completions.create(body));
      const { answer } = await one(user);
      expect(text.endsWith(`\n\n${answer ?? ''}`)).toBe(true);
      expect(text).toMatch(/^```console\n\$ for /);
      expect(await startsOf(user)).toEqual([1]);
      expect(await stage.lines(user, 'counted.txt')).toHaveLength(4);
    },
  );

  it("is made up for by the client's own retry, before the turn is over or after", { timeout: TURN_MS }, async () => {
    for (const [user, isCut] of [
      ['oai-retry-open', () => untilWritten(stage, 'oai-retry-open', 'counted.txt')],
      [
        'oai-retry-over',
        () => waitFor('it is over', async () => (await recorded('oai-retry-over'))[0]?.state === 'completed'),
      ],
    ] as const) {
      const proxy = await openProxy(url);
      // An answer would leave at once: the first connection carries none.
      const asked = clientAt(proxy.url).chat.completions.create(saying(user, COUNTING), shown('none'));
      await isCut();
      proxy.cut();
      const completion = await asked;
      expect(proxy.connections()).toBe(2);
      expect(completion.choices[0]?.message.content).toBe((await one(user)).answer);
      expect(await startsOf(user)).toEqual([1]);
      await proxy.close();
    }
  });

  it(
    'of a response is resumed by its number, and by a gateway that knows nothing of it',
    { timeout: TURN_MS },
    async () => {
      const other = await stage.stack.startGateway();
      const user = 'oai-by-number';
      const stream = await clientAt().responses.create({ ...asking(user, SPOKEN), stream: true });
      let text = '';
      let id = '';
      let last = 0;
      for await (const event of stream) {
        last = event.sequence_number;
        if (event.type === 'response.created') ({ id } = event.response);
        if (event.type === 'response.output_text.delta') text += event.delta;
        if (text.length > 100) break;
      }
      expect((await one(user)).state).toBe('running');
      const rest = await clientAt(other.url).responses.retrieve(id, { stream: true, starting_after: last });
      for await (const event of rest) {
        expect(event.sequence_number).toBeGreaterThan(last);
        last = event.sequence_number;
        if (event.type === 'response.output_text.delta') text += event.delta;
      }
      expect(text).toBe((await one(user)).answer);
      await other.process.stop();
    },
  );
});

describe('a response', () => {
  it('is the turn, follows another, and is read again by its id', { timeout: TURN_MS }, async () => {
    const about = { model: MODEL, user: 'oai-responses' };
    const first = await clientAt().responses.create({ ...about, input: '$ echo hello > note.txt' });
    const second = await clientAt().responses.create({
      ...{ ...about, input: [{ role: 'user', content: '$ cat note.txt' }], previous_response_id: first.id },
    });
    const [one_, two] = await recorded(about.user);
    expect(second).toMatchObject({
      ...{ status: 'completed', previous_response_id: first.id, error: null },
      usage: { input_tokens: two?.input, output_tokens: two?.output },
    });
    expect(second.output_text.endsWith(two?.answer ?? 'no answer')).toBe(true);
    expect(second.output_text).toContain('```\nhello\n[exit code 0]\n```');
    const read = await clientAt().responses.retrieve(first.id);
    expect(read.output_text).toBe(first.output_text);
    expect(read.output_text.endsWith(one_?.answer ?? 'no answer')).toBe(true);
  });

  it('comes as the events of the API, from which the client puts the same together', { timeout: TURN_MS }, async () => {
    const user = 'oai-events';
    const runner = clientAt().responses.stream(asking(user, `${SPOKEN}\n$ echo hi`), shown('annotation'));
    const types: string[] = [];
    let snapshot = '';
    runner.on('event', ({ type }) => void (types.at(-1) === type || types.push(type)));
    runner.on('response.output_text.delta', (event) => void ({ snapshot } = event));
    const final = await runner.finalResponse();
    const { answer } = await one(user);
    expect(snapshot).toBe(answer);
    expect(final).toMatchObject({
      output: [{ type: 'message', status: 'completed', content: [{ type: 'output_text', text: answer }] }],
      innkeeper: { commands: [{ title: 'echo hi', exitCode: 0 }] },
    });
    expect(types.map((type) => type.replace('response.', ''))).toEqual([
      ...['created', 'queued', 'in_progress', 'output_item.added', 'content_part.added', 'output_text.delta'],
      ...['output_text.done', 'content_part.done', 'output_item.done', 'completed'],
    ]);
  });

  it('in the background is answered at once, and cancelled by its id', { timeout: TURN_MS }, async () => {
    const user = 'oai-background';
    const input = '$ echo on >> on.txt; sleep 300';
    const started = await clientAt().responses.create({ ...asking(user, input), background: true });
    expect(started.status).toBe('queued');
    await untilWritten(stage, user, 'on.txt');
    expect((await clientAt().responses.retrieve(started.id)).status).toBe('in_progress');
    expect((await clientAt().responses.cancel(started.id)).status).toBe('cancelled');
    await expect(clientAt().responses.create(asking(user, '!model refuse\nhello'))).rejects.toMatchObject({
      ...{ status: 502, code: 'MODEL_REFUSED' },
    });
  });

  it('of another user, or of nobody, is not there', async () => {
    const [stranger, id] = ['oai-stranger', `resp_${Buffer.from('oai-events/none').toString('base64url')}`];
    const of = { headers: { 'x-innkeeper-user': stranger } };
    for (const attempt of [
      () => clientAt().responses.retrieve(id),
      () => clientAt().responses.retrieve(id, {}, of),
      () => clientAt().responses.create({ ...asking(stranger, 'hi'), previous_response_id: id }),
    ]) {
      await expect(attempt()).rejects.toMatchObject({ status: 404, code: 'TURN_UNKNOWN' });
    }
    expect(await recorded(stranger)).toEqual([]);
  });
});

describe('docs/clients.md', () => {
  it.each([
    [CHAT, 'ts', ['made of 42\n[exit code 0]']],
    [CHAT, 'sh', ['"object":"chat.completion"', 'Linux']],
    [RESPONSES, 'ts', ['```console\n$ cat note.txt\n```', '```\nhello\n[exit code 0]']],
    [RESPONSES, 'sh', ['"object":"response"', 'Linux']],
  ] as const)('%s in %s does as it says', { timeout: TURN_MS }, async (heading, language, said) => {
    const user = `oai-docs-${language}`;
    const { stdout } = await runSnippets(heading, language, { url, key, user });
    for (const text of said) expect(stdout).toContain(text);
    const turns = await recorded(user);
    expect(turns.length).toBeGreaterThan(0);
    expect(new Set(turns.map(({ state }) => state))).toEqual(new Set(['completed']));
  });

  const resolved = (text: string): string => text.replace('${INNKEEPER_URL}', url).replace('${INNKEEPER_KEY}', key);

  it('sets Open WebUI up so that it asks for whoever is signed in', { timeout: TURN_MS }, async () => {
    const lines = (snippetsOf('Open WebUI', 'dotenv')[0] ?? '').trimEnd().split('\n');
    const env = new Map(
      lines.map((line) => [line.slice(0, line.indexOf('=')), resolved(line.slice(line.indexOf('=') + 1))]),
    );
    const headers = { [env.get('FORWARD_USER_INFO_HEADER_USER_ID') ?? '']: 'oai-webui' };
    await expectToWork('oai-webui', env.get('OPENAI_API_BASE_URL'), env.get('OPENAI_API_KEY'), headers);
  });

  it('sets LibreChat up so that it asks for whoever is signed in', { timeout: TURN_MS }, async () => {
    const { endpoints } = parse(snippetsOf('LibreChat', 'yaml')[0] ?? '') as {
      endpoints: { custom: { baseURL: string; apiKey: string; headers: Record<string, string>; models: unknown }[] };
    };
    const [{ baseURL, apiKey, headers, models } = { baseURL: '', apiKey: '', headers: {}, models: [] }] =
      endpoints.custom;
    const filled = Object.entries(headers).map(([name, value]) => [
      name,
      value.replace('{{LIBRECHAT_USER_ID}}', 'oai-libre'),
    ]);
    await expectToWork(
      'oai-libre',
      resolved(baseURL),
      resolved(apiKey),
      Object.fromEntries(filled) as Record<string, string>,
    );
    expect(models).toEqual({ default: [MODEL], fetch: false });
  });

  /** As those two ask: with a history, and the user in a header. */
  async function expectToWork(
    user: string,
    baseURL = '',
    apiKey = '',
    defaultHeaders: Record<string, string> = {},
  ): Promise<void> {
    const openai = new OpenAI({ baseURL, apiKey, defaultHeaders });
    const [{ id } = { id: '' }] = (await openai.models.list()).data;
    const messages: OpenAI.ChatCompletionMessageParam[] = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Earlier.' },
      { role: 'assistant', content: 'Yes?' },
      { role: 'user', content: 'Now.' },
    ];
    const text = await textOf(await openai.chat.completions.create({ model: id, messages, stream: true }));
    expect(text).toBe((await one(user)).answer);
  }
});

describe('a worker that dies', () => {
  // Last: it ends the stack's only worker.
  it('in mid-answer changes nothing of the text', { timeout: TURN_MS }, async () => {
    const user = 'oai-worker';
    const stream = await clientAt().chat.completions.create({
      ...saying(user, SPOKEN.replace('100', '200')),
      stream: true,
    });
    let text = '';
    for await (const chunk of stream) {
      const before = text;
      text += chunk.choices[0]?.delta.content ?? '';
      if (before !== '' || text === '') continue;
      stage.stack.workers[0]?.signal('SIGKILL');
      await stage.stack.startWorker();
    }
    expect(text).toBe((await one(user)).answer);
    const [step] = await stage.sql<{ try: number }>(
      'select s.try from steps s join turns t using (turn_key) where t.user_id = $1',
      [user],
    );
    expect(step?.try).toBeGreaterThan(1);
  });
});

/** In front of a gateway: breaks its first connection when it is told to, and takes what comes after that. */
async function openProxy(
  target: string,
): Promise<{ url: string; cut(): void; connections(): number; close(): Promise<void> }> {
  const { hostname, port } = new URL(target);
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    const onward = connect(Number(port), hostname);
    const isFirst = sockets.length === 0;
    sockets.push(socket);
    for (const end of [socket, onward]) {
      end.on('error', () => undefined); // Cut.
      end.on('close', () => [socket, onward].forEach((one) => one.destroy()));
    }
    socket.pipe(onward);
    if (!isFirst) onward.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: () => sockets[0]?.destroy(),
    connections: () => sockets.length,
    close: async () => {
      sockets.forEach((socket) => socket.destroy());
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
