/**
 * Goal: the adapter sends what OpenAI-compatible services take, joins what they stream, and turns every way to fail into a code.
 * Method: a small HTTP server that answers as each test says.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { InnkeeperError } from '../../../src/contracts/errors.js';
import { MODEL_ANSWER_BYTES_MAX } from '../../../src/contracts/limits.js';
import type { ChatDelta, ChatRequest, ChatTool } from '../../../src/model/chat-model.js';
import { createChatModel, modelRoot, type ChatModelOptions } from '../../../src/model/dedalus-chat.js';

const KEY = 'sk-secret-model-key';

interface Seen {
  path: string;
  headers: IncomingMessage['headers'];
  body: Record<string, unknown>;
}

let server: Server;
let baseUrl: string;
let seen: Seen[];
let respond: (response: ServerResponse, nth: number) => void;

beforeEach(async () => {
  seen = [];
  server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const body = JSON.parse(Buffer.concat(pieces).toString()) as Record<string, unknown>;
      seen.push({ path: request.url ?? '', headers: request.headers, body });
      respond(response, seen.length);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function model(extra: Partial<ChatModelOptions> = {}) {
  return createChatModel({ baseUrl, apiKey: KEY, model: 'vendor/one', requestTimeoutMs: 5_000, ...extra });
}

function request(extra: Partial<ChatRequest> = {}): ChatRequest {
  return { messages: [{ role: 'user', content: 'hi' }], tools: [], signal: new AbortController().signal, ...extra };
}

function stream(response: ServerResponse, chunks: unknown[], isEnded = true): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const chunk of chunks) response.write(`data: ${JSON.stringify(chunk)}\n\n`);
  if (isEnded) response.end('data: [DONE]\n\n');
}

function delta(value: object, finish: string | null = null): object {
  return { model: 'vendor/one-2026', choices: [{ index: 0, delta: value, finish_reason: finish }] };
}

async function failure(run: Promise<unknown>): Promise<InnkeeperError> {
  const error = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!InnkeeperError.is(error)) throw new Error(`not one of our errors: ${String(error)}`);
  expect(`${error.message}${JSON.stringify(error.details)}${String(error.cause)}`).not.toContain(KEY);
  return error;
}

describe('what is sent', () => {
  test('messages, tools with their schema untouched, usage asked for; no keys or headers of the library', async () => {
    respond = (response) => stream(response, [delta({ content: 'ok' }, 'stop')]);
    const tool: ChatTool = {
      name: 'bash',
      description: 'runs',
      parameters: { type: 'object', properties: { timeoutMs: { type: 'number' } }, additionalProperties: false },
    };
    await model().complete(
      request({
        tools: [tool],
        messages: [
          { role: 'system', content: 's' },
          { role: 'assistant', content: '', toolCalls: [{ id: 'a', name: 'bash', argumentsJson: '{"timeoutMs":1}' }] },
          { role: 'tool', toolCallId: 'a', content: 'out' },
        ],
      }),
    );
    expect(seen[0]!.path).toBe('/v1/chat/completions');
    expect(seen[0]!.headers.authorization).toBe(`Bearer ${KEY}`);
    expect(seen[0]!.headers['idempotency-key']).toBeUndefined();
    expect(seen[0]!.body).toEqual({
      model: 'vendor/one',
      stream: true,
      stream_options: { include_usage: true },
      tools: [{ type: 'function', function: tool }],
      messages: [
        { role: 'system', content: 's' },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'a', type: 'function', function: { name: 'bash', arguments: '{"timeoutMs":1}' } }],
        },
        { role: 'tool', tool_call_id: 'a', content: 'out' },
      ],
    });
  });

  test('extra keys are added, a null takes one away, an empty key sends no authorization', async () => {
    respond = (response) => stream(response, [delta({ content: 'ok' }, 'stop')]);
    await model({ apiKey: '', extraBody: { stream_options: null, temperature: 0 } }).complete(request());
    expect(seen[0]!.body).not.toHaveProperty('stream_options');
    expect(seen[0]!.body['temperature']).toBe(0);
    expect(seen[0]!.headers.authorization).toBeUndefined();
  });

  test("only the vendor's own gateway is told that tools are ours", async () => {
    const bodies: string[] = [];
    const capture: typeof fetch = async (_, init) => {
      bodies.push(init?.body as string);
      return Response.json({ choices: [{ message: { content: 'ok' }, finish_reason: 'stop' }] });
    };
    await model({ baseUrl: 'https://api.dedaluslabs.ai', fetch: capture }).complete(request());
    await model({ baseUrl: 'https://dedaluslabs.ai.example.org/v1', fetch: capture }).complete(request());
    expect(bodies[0]).toContain('"automatic_tool_execution":false');
    expect(bodies[1]).not.toContain('automatic_tool_execution');
  });

  test.each([
    ['https://h', 'https://h/v1'],
    ['https://h/', 'https://h/v1'],
    ['https://h/v1/', 'https://h/v1'],
    ['https://h/api/v1', 'https://h/api/v1'],
    ['https://h/v1beta/openai/', 'https://h/v1beta/openai'],
    ['https://h/v1/chat/completions', 'https://h/v1'],
  ])('base URL %s means %s', (given, root) => {
    expect(modelRoot(given)).toBe(root);
  });
});

describe('what comes back', () => {
  test('text is joined and passed on as it comes, with usage and the model that answered', async () => {
    respond = (response) =>
      stream(response, [
        delta({ role: 'assistant', content: '' }),
        delta({ content: 'Hel' }),
        delta({ content: 'lo' }, 'stop'),
        { choices: [], usage: { prompt_tokens: 7, completion_tokens: 2 } },
      ]);
    const deltas: string[] = [];
    const answer = await model().complete(
      request({ onDelta: (delta) => delta.kind === 'text' && deltas.push(delta.text) }),
    );
    expect(answer).toEqual({
      content: 'Hello',
      toolCalls: [],
      finish: 'stop',
      usage: { inputTokens: 7, outputTokens: 2 },
      model: 'vendor/one-2026',
    });
    expect(deltas).toEqual(['Hel', 'lo']);
  });

  test('tool calls are joined by index, interleaved pieces included', async () => {
    respond = (response) =>
      stream(response, [
        delta({ tool_calls: [{ index: 0, id: 'x', type: 'function', function: { name: 'bash', arguments: '' } }] }),
        delta({ tool_calls: [{ index: 1, id: 'y', function: { name: 'read_file', arguments: '{"pa' } }] }),
        delta({ tool_calls: [{ index: 0, function: { arguments: '{"command":' } }] }),
        delta({ tool_calls: [{ index: 1, function: { arguments: 'th":"f"}' } }] }),
        delta({ tool_calls: [{ index: 0, function: { arguments: '"ls"}' } }] }),
        delta({}, 'tool_calls'),
      ]);
    const deltas: ChatDelta[] = [];
    const answer = await model().complete(request({ onDelta: (piece) => deltas.push(piece) }));
    expect(deltas).toEqual([
      { kind: 'call', index: 1, name: 'read_file', argumentsJson: '{"pa' },
      { kind: 'call', index: 0, name: 'bash', argumentsJson: '{"command":' },
      { kind: 'call', index: 1, name: 'read_file', argumentsJson: 'th":"f"}' },
      { kind: 'call', index: 0, name: 'bash', argumentsJson: '"ls"}' },
    ]);
    expect(answer.finish).toBe('tool_calls');
    expect(answer.toolCalls).toEqual([
      { id: 'x', name: 'bash', argumentsJson: '{"command":"ls"}' },
      { id: 'y', name: 'read_file', argumentsJson: '{"path":"f"}' },
    ]);
    expect(answer.usage).toBeUndefined();
  });

  test('calls without id get the same one each time; repeated ids are told apart; calls with `stop` count', async () => {
    respond = (response) =>
      stream(response, [
        delta({ tool_calls: [{ index: 0, function: { name: 'bash', arguments: '{}' } }] }),
        delta({ tool_calls: [{ index: 1, id: 'z', function: { name: 'bash', arguments: '{}' } }] }),
        delta({ tool_calls: [{ index: 2, id: 'z', function: { name: 'bash', arguments: { command: 'a' } } }] }, 'stop'),
      ]);
    const answer = await model().complete(request());
    expect(answer.finish).toBe('tool_calls');
    expect(answer.toolCalls.map((call) => call.id)).toEqual(['call_1_0', 'z', 'call_1_2']);
    expect(answer.toolCalls[2]!.argumentsJson).toBe('{"command":"a"}');
  });

  test('a malformed call is passed on as it was written', async () => {
    respond = (response) =>
      stream(response, [
        delta({ tool_calls: [{ index: 0, id: 'x', function: { name: 'bash', arguments: '{"c' } }] }, 'tool_calls'),
      ]);
    expect((await model().complete(request())).toolCalls[0]!.argumentsJson).toBe('{"c');
  });

  test('a service that does not stream is read too', async () => {
    respond = (response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ choices: [{ message: { content: 'whole' }, finish_reason: 'stop' }] }));
    };
    expect((await model().complete(request())).content).toBe('whole');
  });

  test('an empty answer is an answer', async () => {
    respond = (response) => stream(response, [delta({}, 'stop')]);
    expect(await model().complete(request())).toMatchObject({ content: '', toolCalls: [], finish: 'stop' });
  });

  test('a refusal and a content filter are refusals', async () => {
    respond = (response, nth) =>
      stream(
        response,
        nth === 1 ? [delta({ refusal: 'I will not.' }), delta({}, 'stop')] : [delta({}, 'content_filter')],
      );
    expect(await model().complete(request())).toMatchObject({ content: 'I will not.', finish: 'refused' });
    expect(await model().complete(request())).toMatchObject({ content: '', finish: 'refused' });
  });

  test('an answer cut at its length has no calls', async () => {
    const call = {
      tool_calls: [{ index: 0, id: 'x', function: { name: 'bash', arguments: '{"command":"rm -rf /"}' } }],
    };
    respond = (response) => stream(response, [delta({ content: 'so' }), delta(call), delta({}, 'length')]);
    expect(await model().complete(request())).toMatchObject({ content: 'so', toolCalls: [], finish: 'length' });
  });

  test('an answer without end is cut at our bound', async () => {
    const piece = 'é'.repeat(32 * 1024);
    respond = (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const more = (): void => {
        while (!response.destroyed && response.write(`data: ${JSON.stringify(delta({ content: piece }))}\n\n`));
      };
      response.on('drain', more);
      more();
    };
    const answer = await model().complete(request());
    expect(answer.finish).toBe('length');
    expect(Buffer.byteLength(answer.content)).toBeLessThanOrEqual(MODEL_ANSWER_BYTES_MAX);
    expect(answer.content).not.toContain('\ufffd');
  });
});

describe('what goes wrong', () => {
  test.each([
    [400, 'MODEL_REJECTED'],
    [401, 'MODEL_UNAUTHORIZED'],
    [402, 'MODEL_UNAUTHORIZED'],
    [403, 'MODEL_UNAUTHORIZED'],
    [404, 'MODEL_REJECTED'],
    [408, 'MODEL_UNAVAILABLE'],
    [413, 'MODEL_REJECTED'],
    [422, 'MODEL_REJECTED'],
    [429, 'MODEL_RATE_LIMITED'],
    [500, 'MODEL_UNAVAILABLE'],
    [503, 'MODEL_UNAVAILABLE'],
    [302, 'MODEL_REJECTED'],
  ])('status %i is %s, asked once', async (status, code) => {
    respond = (response) => {
      response.writeHead(status, { 'content-type': 'application/json', location: '/elsewhere' });
      response.end(JSON.stringify({ error: { message: `no, ${KEY} is\n bad` } }));
    };
    const error = await failure(model().complete(request()));
    expect(error.code).toBe(code);
    expect(error.message).toContain('no, [key] is bad');
    expect(seen).toHaveLength(1);
  });

  test('the wait that a service asks for is passed on', async () => {
    respond = (response) => {
      response.writeHead(429, { 'retry-after': '2' });
      response.end('quota exceeded');
    };
    expect(await failure(model().complete(request()))).toMatchObject({
      code: 'MODEL_RATE_LIMITED',
      retryAfterMs: 2_000,
    });
  });

  test.each<[string, (response: ServerResponse) => void]>([
    ['ends without a reason', (response) => stream(response, [delta({ content: 'half' })])],
    [
      'ends in the middle of an event',
      (response) => void response.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: {"cho'),
    ],
    [
      'is reset',
      (response) => (
        stream(response, [delta({ content: 'half' })], false),
        setImmediate(() => response.socket?.resetAndDestroy())
      ),
    ],
    [
      'holds something that is not JSON',
      (response) => void response.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: <html>\n\n'),
    ],
    ['says that it broke', (response) => stream(response, [delta({}, 'error')])],
    ['holds an error', (response) => stream(response, [{ error: { message: 'overloaded', code: 529 } }])],
  ])('a stream that %s is MODEL_UNAVAILABLE', async (_, answer) => {
    respond = answer;
    expect((await failure(model().complete(request()))).code).toBe('MODEL_UNAVAILABLE');
  });

  test('an error inside a stream keeps its own status', async () => {
    respond = (response) => stream(response, [{ error: { message: 'slow down', code: 429 } }]);
    expect((await failure(model().complete(request()))).code).toBe('MODEL_RATE_LIMITED');
  });

  test('a connection lost behind the end costs nothing', async () => {
    respond = (response) => {
      stream(response, [delta({ content: 'done' }, 'stop')], false);
      setImmediate(() => response.socket?.resetAndDestroy());
    };
    expect((await model().complete(request())).content).toBe('done');
  });

  test('nobody listening is MODEL_UNAVAILABLE', async () => {
    expect((await failure(model({ baseUrl: 'http://127.0.0.1:1' }).complete(request()))).code).toBe(
      'MODEL_UNAVAILABLE',
    );
  });

  test('a service that never begins, and one that never ends, run into their limits', async () => {
    respond = () => {};
    const silent = await failure(model({ firstDeltaTimeoutMs: 50 }).complete(request()));
    expect(silent).toMatchObject({
      code: 'MODEL_UNAVAILABLE',
      message: expect.stringContaining('beginning') as string,
    });
    respond = (response) => stream(response, [delta({ content: 'a' })], false);
    const endless = await failure(model({ requestTimeoutMs: 100 }).complete(request()));
    expect(endless).toMatchObject({
      code: 'MODEL_UNAVAILABLE',
      message: expect.stringContaining('whole answer') as string,
    });
  });

  test("aborting throws the signal's own reason, before and in the middle of an answer", async () => {
    const stop = new AbortController();
    const reason = new Error('cancelled by the turn');
    respond = (response) => stream(response, [delta({ content: 'a' })], false);
    const run = model().complete(request({ signal: stop.signal, onDelta: () => stop.abort(reason) }));
    await expect(run).rejects.toBe(reason);
    await expect(model().complete(request({ signal: stop.signal }))).rejects.toBe(reason);
  });
});
