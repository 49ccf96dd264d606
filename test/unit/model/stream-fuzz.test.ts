/**
 * Goal: whatever a model service streams, a call ends with an answer within its bounds or with a coded error; how the stream is cut
 * makes no difference; and nothing is held without bound. Method: made-up events, handed over in pieces.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InnkeeperError, isErrorCode } from '../../../src/contracts/errors.js';
import { MODEL_ANSWER_BYTES_MAX } from '../../../src/contracts/limits.js';
import { EVENT_BYTES_MAX, JSON_BYTES_MAX } from '../../../src/model/bounded-answer.js';
import type { ChatAnswer } from '../../../src/model/chat-model.js';
import { createChatModel } from '../../../src/model/dedalus-chat.js';
import { cutAt, everyCut, hostileJson, hostileRecord, hostileText } from '../../support/hostile.js';
import { runs } from '../../support/properties.js';

const KEY = 'sk-secret-model-key';
const TYPES = ['text/event-stream', 'application/json', 'text/plain'] as const;

function streamOf(pieces: Iterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = pieces[Symbol.iterator]();
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      const next = iterator.next();
      if (next.done === true) controller.close();
      else controller.enqueue(next.value);
    },
  });
}

async function complete(
  pieces: Iterable<Uint8Array>,
  { status = 200, type = 'text/event-stream' }: { status?: number; type?: string } = {},
): Promise<{ answer: ChatAnswer; text: string }> {
  let text = '';
  const model = createChatModel({
    ...{ baseUrl: 'http://127.0.0.1:9', apiKey: KEY, model: 'one', requestTimeoutMs: 20_000 },
    fetch: async () => new Response(streamOf(pieces), { status, headers: { 'content-type': type } }),
  });
  const answer = await model.complete({
    ...{ messages: [{ role: 'user', content: 'hi' }], tools: [], signal: new AbortController().signal },
    onDelta: (delta) => {
      if (delta.kind === 'text') text += delta.text;
    },
  });
  return { answer, text };
}

const name = fc.constantFrom('bash', 'read_file', '');
const callPiece = hostileRecord({
  index: fc.constantFrom(0, 1, 2),
  id: fc.constantFrom('a', 'b', ''),
  function: hostileRecord({ name, arguments: fc.constantFrom('{}', '{"a":', '1}') }),
});
const message = hostileRecord({
  content: hostileText,
  refusal: fc.constant('no'),
  tool_calls: fc.array(callPiece, { maxLength: 3 }),
});
const chunk = hostileRecord({
  model: fc.constantFrom('one', 'x'.repeat(100_000)),
  usage: hostileRecord({ prompt_tokens: fc.constantFrom(1, -1, 0.5, 1e12), completion_tokens: fc.constantFrom(1, 2) }),
  choices: fc.array(
    hostileRecord({ delta: message, message, finish_reason: fc.constantFrom('stop', 'length', 'error', 'tool_calls') }),
    { maxLength: 2 },
  ),
});
const failure = hostileRecord({ error: hostileJson(['message', 'status', 'code', 'error', 'retry_after_ms']) });
const json = fc.oneof({ weight: 5, arbitrary: chunk }, failure, hostileJson(['choices', 'error', 'usage']));

const event: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: json.map((value) => `data: ${JSON.stringify(value)}`) },
  json.map((value) => `event: error\ndata: ${JSON.stringify(value)}`),
  json.map((value) => `data: ${JSON.stringify(value).slice(0, -1)}`),
  fc.constantFrom('data: [DONE]', ': ping', 'data', 'data:', 'id: 1', 'event: x\ndata: {}', ''),
  hostileText,
);
const body = fc
  .tuple(fc.array(event, { maxLength: 8 }), fc.constantFrom('\n\n', '\r\n\r\n', '\r\r'))
  .map(([events, end]) => Buffer.from(events.map((text) => text + end).join('')));

function check({ answer }: { answer: ChatAnswer }): void {
  expect(['stop', 'tool_calls', 'length', 'refused']).toContain(answer.finish);
  expect(Buffer.byteLength(answer.content)).toBeLessThanOrEqual(MODEL_ANSWER_BYTES_MAX);
  expect(answer.toolCalls.length > 0).toBe(answer.finish === 'tool_calls');
  expect(new Set(answer.toolCalls.map((call) => call.id)).size).toBe(answer.toolCalls.length);
  expect(answer.model.length).toBeLessThanOrEqual(256);
  for (const tokens of Object.values(answer.usage ?? {}) as number[]) {
    expect(Number.isInteger(tokens) && tokens >= 0 && tokens < 2 ** 31).toBe(true);
  }
}

function checkError(error: unknown): void {
  if (!InnkeeperError.is(error)) throw error;
  expect(isErrorCode(error.code)).toBe(true);
  expect(error.message).not.toContain(KEY);
}

/** Some ten seconds of processor time, on a machine that may do other things as well. */
const FUZZ_MS = 60_000;

describe('an answer of the model', () => {
  test('is one within its bounds or a coded error, whatever is sent', async () => {
    const reply = { status: fc.constantFrom(200, 200, 200, 400, 401, 404, 429, 500), type: fc.constantFrom(...TYPES) };
    await fc.assert(
      fc.asyncProperty(body, fc.record(reply), async (bytes, as) => complete([bytes], as).then(check, checkError)),
      runs(800),
    );
  });

  test('is the same however the stream is cut', { timeout: FUZZ_MS }, async () => {
    const outcome = (pieces: Uint8Array[]): Promise<unknown> =>
      complete(pieces).catch((error: unknown) => (InnkeeperError.is(error) ? [error.code, error.message] : error));
    await fc.assert(
      fc.asyncProperty(body, fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), async (bytes, sizes) => {
        expect(await outcome(cutAt(bytes, sizes))).toEqual(await outcome([bytes]));
      }),
      runs(300),
    );
  });

  test.each(['\n', '\r\n', '\r'])('is the same cut at every byte, with %j at the end of lines', async (line) => {
    const events = [
      { model: 'one-2026', choices: [{ delta: { content: 'zwölf 😀' } }] },
      {
        choices: [
          { delta: { tool_calls: [{ index: 0, id: 'a', function: { name: 'bash', arguments: '{"a":"\u2028' } }] } },
        ],
      },
      {
        choices: [
          { delta: { tool_calls: [{ index: 0, function: { arguments: '"}' } }] }, finish_reason: 'tool_calls' },
        ],
      },
      { choices: [], usage: { prompt_tokens: 7, completion_tokens: 3 } },
    ];
    const text = [...events.map((value) => `data: ${JSON.stringify(value)}`), 'data: [DONE]'].join(line + line);
    const bytes = Buffer.from(`: hello${line}${line}${text}${line}${line}`);
    const whole = await complete([bytes]);
    expect(whole.answer).toEqual({
      content: 'zwölf 😀',
      toolCalls: [{ id: 'a', name: 'bash', argumentsJson: '{"a":"\u2028"}' }],
      finish: 'tool_calls',
      usage: { inputTokens: 7, outputTokens: 3 },
      model: 'one-2026',
    });
    for (const pieces of everyCut(bytes)) expect(await complete(pieces)).toEqual(whole);
  });

  test.each([
    [
      'a failure whose status cannot be made a number',
      'event: error\ndata: {"error":{"status":{"toString":1,"valueOf":1}}}\n\n',
    ],
    [
      'a failure in a chunk whose code cannot be made a number',
      'data: {"error":{"code":{"toString":1,"valueOf":1}}}\n\n',
    ],
  ])('%s is a coded error', async (_what, text) => {
    await expect(complete([Buffer.from(text)])).rejects.toMatchObject({ code: 'MODEL_UNAVAILABLE' });
  });

  test('with token counts that nobody can store has no usage', async () => {
    for (const tokens of [1.5, -1, 2 ** 31, 1e300]) {
      const value = {
        choices: [{ message: { content: 'x' }, finish_reason: 'stop' }],
        usage: { prompt_tokens: tokens, completion_tokens: 1 },
      };
      const { answer } = await complete([Buffer.from(JSON.stringify(value))], { type: 'application/json' });
      expect(answer.usage).toBeUndefined();
    }
  });
});

describe('an answer without an end', () => {
  /** Counts what was taken of a source that never ends. */
  function endless(piece: Uint8Array): { pieces: Iterable<Uint8Array>; sentBytes: () => number } {
    let sent = 0;
    function* pieces(): Generator<Uint8Array> {
      for (;;) {
        sent += piece.length;
        yield piece;
      }
    }
    return { pieces: pieces(), sentBytes: () => sent };
  }
  const block = new Uint8Array(64 * 1024).fill(0x78);

  test.each([
    ['as an event', 200, 'text/event-stream', EVENT_BYTES_MAX],
    ['as JSON', 200, 'application/json', JSON_BYTES_MAX],
    ['as an error', 500, 'text/plain', JSON_BYTES_MAX],
  ])('%s is given up at its bound', async (_what, status, type, bytesMax) => {
    const source = endless(block);
    await expect(complete(source.pieces, { status, type })).rejects.toMatchObject({ code: 'MODEL_UNAVAILABLE' });
    expect(source.sentBytes()).toBeLessThanOrEqual(bytesMax + 16 * block.length);
  });

  test('as one event in small pieces is given up as soon', async () => {
    // A search of all that is held at each piece would take hours.
    const source = endless(block.subarray(0, 64));
    await expect(complete(source.pieces)).rejects.toMatchObject({ code: 'MODEL_UNAVAILABLE' });
    expect(source.sentBytes()).toBeLessThanOrEqual(EVENT_BYTES_MAX + 16 * block.length);
  });

  test('as events is cut at the bound of an answer', async () => {
    const text = Buffer.from(`data: ${JSON.stringify({ choices: [{ delta: { content: 'x'.repeat(1_000) } }] })}\n\n`);
    const source = endless(text);
    expect((await complete(source.pieces)).answer.finish).toBe('length');
    expect(source.sentBytes()).toBeLessThanOrEqual(2 * MODEL_ANSWER_BYTES_MAX);
  });
});
