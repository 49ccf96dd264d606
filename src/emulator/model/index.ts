/**
 * The built-in model's HTTP side: an OpenAI-compatible `/v1/chat/completions` and `/v1/models`, and the loopback-only routes
 * under `/_emulator/model` (same key) that set scripts and read the record of calls.
 */
import { randomUUID, timingSafeEqual, createHash } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { createCallRecorder, createFaultCounter, type ModelCallRecord } from './calls.js';
import { BadModelRequest, findPrompt, parseModelRequest, type ModelRequest } from './conversation.js';
import { decide, hash, type Decision } from './decide.js';
import { streamCompletion, toCompletion, type AnswerHead } from './respond.js';
import { EMPTY_SCRIPT, loadScript, parseScript, type ModelScript } from './script.js';

export interface ModelRoutesOptions {
  readonly apiKey: string;
  /** Scripted conversations to begin with. @throws at registration when it cannot be used */
  readonly scriptFile?: string | undefined;
  readonly log?: { debug(details: object, message: string): void } | undefined;
}

const BODY_BYTES_MAX = 64 * 1024 * 1024;
const PROMPT_KEPT_CHARACTERS = 500;
const CALLS_PAGE_MAX = 5_000;
const MODEL_NAME = 'emulator/shell';

/** Adds the routes to a server that is not listening yet. */
export function registerModelRoutes(app: FastifyInstance, options: ModelRoutesOptions): void {
  let script: ModelScript = options.scriptFile === undefined ? EMPTY_SCRIPT : loadScript(options.scriptFile);
  const recorder = createCallRecorder(() => new Date());
  const counter = createFaultCounter();
  const waiting = new Set<() => void>();
  app.addHook('onClose', async () => {
    for (const giveUp of waiting) giveUp();
  });

  /** Waits; false where the client (or the server) went away meanwhile. `ms` Infinity waits for just that. */
  async function pause(ms: number, reply: FastifyReply): Promise<boolean> {
    if (ms === 0) return true;
    return await new Promise<boolean>((resolve) => {
      const settle = (isHere: boolean): void => {
        clearTimeout(timer);
        waiting.delete(giveUp);
        reply.raw.off('close', giveUp);
        resolve(isHere);
      };
      const giveUp = (): void => settle(false);
      const timer = ms === Infinity ? undefined : setTimeout(() => settle(true), ms);
      waiting.add(giveUp);
      reply.raw.once('close', giveUp);
    });
  }

  function isAllowed(request: FastifyRequest): boolean {
    const bearer = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
    const given = bearer ?? request.headers['x-api-key'];
    const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
    return typeof given === 'string' && timingSafeEqual(digest(given), digest(options.apiKey));
  }

  function record(
    request: ModelRequest | undefined,
    bytes: number,
    answer: Pick<ModelCallRecord, 'kind' | 'finish' | 'toolCalls'>,
  ): void {
    const prompt = request === undefined ? '' : findPrompt(request.messages).text;
    const call = recorder.add({
      promptHash: hash(prompt),
      prompt: prompt.slice(0, PROMPT_KEPT_CHARACTERS),
      messages: request?.messages.length ?? 0,
      bytes,
      toolNames: request?.toolNames ?? [],
      stream: request?.stream ?? false,
      ...answer,
    });
    options.log?.debug({ seq: call.seq, kind: call.kind, messages: call.messages, bytes }, 'model call');
  }

  app.get('/v1/models', async (request, reply) => {
    if (!isAllowed(request)) return await refuseKey(reply);
    return { object: 'list', data: [{ id: MODEL_NAME, object: 'model', created: 0, owned_by: 'emulator' }] };
  });

  app.post('/v1/chat/completions', { bodyLimit: BODY_BYTES_MAX }, async (request, reply) => {
    if (!isAllowed(request)) return await refuseKey(reply);
    const bytes = Number(request.headers['content-length'] ?? 0) || JSON.stringify(request.body ?? null).length;
    let asked: ModelRequest;
    try {
      asked = parseModelRequest(request.body);
    } catch (error) {
      if (!(error instanceof BadModelRequest)) throw error;
      record(undefined, bytes, { kind: 'bad_request', finish: '', toolCalls: 0 });
      return await sendError(reply, 400, 'invalid_request_error', error.message);
    }
    const decision = decide(asked, script, counter);
    record(asked, bytes, { kind: decision.kind, finish: decision.finish, toolCalls: decision.calls.length });
    const isHere = await pause(decision.kind === 'hang' ? Infinity : decision.delayMs, reply);
    if (!isHere) {
      reply.hijack();
      reply.raw.destroy();
      return reply;
    }
    return await answer(reply, decision, {
      id: `chatcmpl-${randomUUID()}`,
      created: Math.floor(Date.now() / 1_000),
      request: asked,
      requestBytes: bytes,
    });
  });

  app.post('/_emulator/model', { bodyLimit: BODY_BYTES_MAX }, async (request, reply) => {
    if (!isAllowed(request)) return await refuseKey(reply);
    if (!isLoopback(request)) return await sendError(reply, 404, 'not_found', 'No such route.');
    try {
      script = parseScript(request.body ?? {});
    } catch (error) {
      return await sendError(
        reply,
        400,
        'invalid_request_error',
        error instanceof Error ? error.message : String(error),
      );
    }
    counter.reset();
    return { delayMs: script.delayMs, conversations: script.conversations.length };
  });

  app.get<{ Querystring: { after?: string; limit?: string } }>('/_emulator/model/calls', async (request, reply) => {
    if (!isAllowed(request)) return await refuseKey(reply);
    if (!isLoopback(request)) return await sendError(reply, 404, 'not_found', 'No such route.');
    const after = Number(request.query.after ?? 0) || 0;
    const limit = Math.min(Number(request.query.limit ?? CALLS_PAGE_MAX) || CALLS_PAGE_MAX, CALLS_PAGE_MAX);
    return { calls: recorder.list(after, limit), lastSeq: recorder.lastSeq };
  });
}

async function answer(reply: FastifyReply, decision: Decision, head: AnswerHead): Promise<FastifyReply> {
  const { fault } = decision;
  if (fault?.kind === 'status') {
    if (fault.retryAfterMs !== undefined) {
      void reply.header('retry-after-ms', String(fault.retryAfterMs));
      void reply.header('retry-after', String(Math.ceil(fault.retryAfterMs / 1_000)));
    }
    if (fault.body !== undefined) return await reply.code(fault.status).send(fault.body);
    return await sendError(reply, fault.status, 'injected_fault', `This ${fault.status} was asked for.`);
  }
  if (head.request.stream) {
    reply.hijack();
    await streamCompletion(reply.raw, head, decision);
    return reply;
  }
  if (decision.kind === 'reset') {
    reply.hijack();
    reply.raw.socket?.resetAndDestroy();
    return reply;
  }
  return await reply.send(toCompletion(head, decision));
}

async function refuseKey(reply: FastifyReply): Promise<FastifyReply> {
  return await sendError(reply, 401, 'invalid_api_key', 'The key is missing or wrong.');
}

async function sendError(reply: FastifyReply, status: number, code: string, message: string): Promise<FastifyReply> {
  return await reply.code(status).send({ error: { message, type: code, code, param: null } });
}

function isLoopback(request: FastifyRequest): boolean {
  const address = request.socket.remoteAddress ?? '';
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');
}
