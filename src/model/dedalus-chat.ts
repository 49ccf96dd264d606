/**
 * The chat model over `dedalus-labs`: chat completions, streamed, with tool calls. Works with the vendor's gateway and with any
 * OpenAI-compatible server.
 *
 * The generic verb is used with a ready JSON text: the library's own chat method would rewrite the keys inside our tools'
 * schemas to snake case. Retries, environment variables and logging are taken out of its hands.
 */
import { Dedalus } from 'dedalus-labs';
import { InnkeeperError } from '../contracts/errors.js';
import { createAnswerBuilder, type AnswerBuilder } from './answer-builder.js';
import { boundAnswer } from './bounded-answer.js';
import type { ChatAnswer, ChatMessage, ChatModel, ChatRequest } from './chat-model.js';
import { toModelError, toStreamError } from './model-errors.js';

export interface ChatModelOptions {
  /**
   * Root of the service. Without a path `/v1` is added (`https://api.dedaluslabs.ai`); any path is taken as it is
   * (`http://127.0.0.1:11434/v1`, `https://openrouter.ai/api/v1`).
   */
  readonly baseUrl: string;
  /** Sent as a bearer token; empty: none is sent, as some local servers want it. */
  readonly apiKey: string;
  readonly model: string;
  /** For one whole answer. */
  readonly requestTimeoutMs: number;
  /** For the first piece of an answer; default `requestTimeoutMs`. */
  readonly firstDeltaTimeoutMs?: number | undefined;
  /** More keys for the request's body, or null for one of ours that a server refuses (`{ "stream_options": null }`). */
  readonly extraBody?: Readonly<Record<string, unknown>> | undefined;
  readonly fetch?: typeof fetch | undefined;
}

/** Host of the vendor's own gateway, which runs tools by itself unless told that they are ours. */
const GATEWAY_HOST = /(^|\.)dedaluslabs\.ai$/;

const silent = { error() {}, warn() {}, info() {}, debug() {} };

export function createChatModel(options: ChatModelOptions): ChatModel {
  const root = modelRoot(options.baseUrl);
  const client = new Dedalus({
    baseURL: root,
    apiKey: options.apiKey === '' ? null : options.apiKey,
    xAPIKey: null,
    organization: null,
    provider: null,
    providerKey: null,
    providerModel: null,
    timeout: options.requestTimeoutMs,
    maxRetries: 0,
    logLevel: 'off',
    logger: silent,
    fetchOptions: { redirect: 'manual' },
    fetch: async (input: string | URL | Request, init?: RequestInit) =>
      boundAnswer(await (options.fetch ?? fetch)(input, init)),
  });
  const isGateway = GATEWAY_HOST.test(new URL(root).hostname);

  return {
    async complete(request) {
      request.signal.throwIfAborted();
      const limit = createTimeLimit(request.signal, options);
      try {
        const { data: stream, response } = await client
          .post<AsyncIterable<unknown>>('/chat/completions', {
            body: JSON.stringify(toBody(request, options, isGateway)),
            headers: {
              'content-type': 'application/json',
              ...(options.apiKey === '' ? { authorization: null } : {}),
              'idempotency-key': null,
            },
            signal: limit.signal,
            stream: true,
          })
          .withResponse();
        const builder = createAnswerBuilder({ idPrefix: `call_${request.messages.length}`, model: options.model });
        const isWhole = /\bjson\b/i.test(response.headers.get('content-type') ?? '');
        if (isWhole) take(await response.json(), builder, request, options.apiKey);
        else await readStream(stream, builder, request, options.apiKey, limit.began);
        limit.signal.throwIfAborted(); // The library ends an aborted stream as if it were over.
        return finish(builder);
      } catch (error) {
        request.signal.throwIfAborted();
        if (limit.expired() !== undefined) {
          throw new InnkeeperError('MODEL_UNAVAILABLE', `The model service gave no ${limit.expired()} in time.`);
        }
        throw toModelError(error, options.apiKey);
      } finally {
        limit.release();
      }
    },
  };
}

/** Where `/chat/completions` hangs below: see `baseUrl`. */
export function modelRoot(baseUrl: string): string {
  const url = new URL(baseUrl);
  const path = url.pathname.replace(/\/+$/, '').replace(/\/chat\/completions$/, '');
  return `${url.origin}${path === '' ? '/v1' : path}`;
}

async function readStream(
  stream: AsyncIterable<unknown>,
  builder: AnswerBuilder,
  request: ChatRequest,
  apiKey: string,
  began: () => void,
): Promise<void> {
  try {
    for await (const chunk of stream) {
      began();
      take(chunk, builder, request, apiKey);
      if (builder.isOverlong) return;
    }
  } catch (error) {
    // A connection that breaks behind the end of the answer took nothing but the usage figures.
    if (!builder.isFinished) throw error;
  }
}

function take(chunk: unknown, builder: AnswerBuilder, request: ChatRequest, apiKey: string): void {
  if (typeof chunk !== 'object' || chunk === null) return;
  const record = chunk as Record<string, unknown>;
  if (record['error'] !== undefined && record['error'] !== null) throw toStreamError(record, 'no reason given', apiKey);
  for (const delta of builder.add(record)) request.onDelta?.(delta);
}

function finish(builder: AnswerBuilder): ChatAnswer {
  if (!builder.isFinished) {
    throw new InnkeeperError('MODEL_UNAVAILABLE', "The model's answer was cut off before its end.");
  }
  return builder.build();
}

function toBody(request: ChatRequest, options: ChatModelOptions, isGateway: boolean): Record<string, unknown> {
  const body: Record<string, unknown> = {
    model: options.model,
    messages: request.messages.map(toWireMessage),
    stream: true,
    stream_options: { include_usage: true },
    ...(request.tools.length === 0
      ? {}
      : {
          tools: request.tools.map(({ name, description, parameters }) => ({
            type: 'function',
            function: { name, description, parameters },
          })),
        }),
    ...(isGateway ? { automatic_tool_execution: false } : {}),
    ...options.extraBody,
  };
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
}

function toWireMessage(message: ChatMessage): object {
  switch (message.role) {
    case 'tool':
      return { role: 'tool', tool_call_id: message.toolCallId, content: message.content };
    case 'assistant':
      return {
        role: 'assistant',
        content: message.content === '' && message.toolCalls.length > 0 ? null : message.content,
        ...(message.toolCalls.length === 0
          ? {}
          : {
              tool_calls: message.toolCalls.map((call) => ({
                id: call.id,
                type: 'function',
                function: { name: call.name, arguments: call.argumentsJson },
              })),
            }),
      };
    case 'system':
    case 'user':
      return { role: message.role, content: message.content };
  }
}

interface TimeLimit {
  readonly signal: AbortSignal;
  /** The first piece is here. */
  began(): void;
  /** What did not come in time; undefined where nothing expired. */
  expired(): string | undefined;
  release(): void;
}

function createTimeLimit(
  outer: AbortSignal,
  options: { requestTimeoutMs: number; firstDeltaTimeoutMs?: number | undefined },
): TimeLimit {
  const controller = new AbortController();
  let missing: string | undefined;
  const expire = (what: string): void => {
    missing ??= what;
    controller.abort(new DOMException('time limit', 'TimeoutError'));
  };
  const onOuter = (): void => controller.abort(outer.reason);
  outer.addEventListener('abort', onOuter, { once: true });
  const first = setTimeout(
    () => expire('beginning of an answer'),
    options.firstDeltaTimeoutMs ?? options.requestTimeoutMs,
  );
  const whole = setTimeout(() => expire('whole answer'), options.requestTimeoutMs);
  return {
    signal: controller.signal,
    began: () => clearTimeout(first),
    expired: () => missing,
    release: () => {
      clearTimeout(first);
      clearTimeout(whole);
      outer.removeEventListener('abort', onOuter);
      controller.abort(); // Ends a stream that was not read to its end.
    },
  };
}
