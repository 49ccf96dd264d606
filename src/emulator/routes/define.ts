/**
 * How every API route runs: injected refusals, idempotency, the handler, one atomic commit of its change together with
 * the stored answer, its effects, and injected damage to the answer. Handlers compute; only this file writes.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { IDEMPOTENCY_KEY_CHARS_MAX, IDEMPOTENCY_RETRY_AFTER_MS } from '../constants.js';
import type { EmulatorContext } from '../context.js';
import { findMachine } from '../context.js';
import type { Commit, IdempotencyRecord } from '../state/records.js';
import type { LedgerNote } from '../state/ledger.js';
import { codedError, problem, revisionMismatch, type WireError } from '../wire/errors.js';
import { shortHash } from '../wire/ids.js';
import { spoilBody, statusError, takeConflict, takeRefusal, type FaultPoint } from './request-faults.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** What the ledger says about this call. */
    trace?: { route: string; errorCode?: string | null; replayed?: boolean; fault?: string };
  }
}

export interface ApiRequest {
  params: Readonly<Record<string, string>>;
  query: Readonly<Record<string, unknown>>;
  body: unknown;
  /** Without quotes; undefined when not sent. */
  ifMatch: string | undefined;
  headers: FastifyRequest['headers'];
}

export interface ApiAnswer {
  status: number;
  body: unknown;
  headers?: Record<string, string>;
  change?: Commit;
  notes?: LedgerNote[];
  /** Runs after the commit. */
  effect?: () => void;
}

export interface RouteSpec {
  /** Name in the ledger and in the match of faults, such as `machines.wake`. */
  name: string;
  method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  url: string;
  /** If-Match is checked against the machine's revision. */
  isFenced?: boolean;
}

type Handler = (request: ApiRequest) => ApiAnswer;

/** Requests whose key is taken and whose answer is not written yet. */
const inFlight = new WeakMap<EmulatorContext, Set<string>>();

export function defineRoute(app: FastifyInstance, context: EmulatorContext, spec: RouteSpec, handler: Handler): void {
  app.route({
    method: spec.method,
    url: spec.url,
    handler: async (request, reply) => {
      const trace: NonNullable<FastifyRequest['trace']> = { route: spec.name };
      request.trace = trace;
      const params = request.params as Record<string, string>;
      const machineId = params['machine_id'];
      const point: FaultPoint = { route: spec.name, ...(machineId === undefined ? {} : { machineId }) };
      const answer = await run(context, spec, handler, request, point);
      return respond(context, reply, answer, point);
    },
  });
}

async function run(
  context: EmulatorContext,
  spec: RouteSpec,
  handler: Handler,
  request: FastifyRequest,
  point: FaultPoint,
): Promise<ApiAnswer> {
  const keys = inFlight.get(context) ?? new Set<string>();
  inFlight.set(context, keys);
  const key = spec.method === 'GET' ? undefined : idempotencyKey(context, request);
  const hash = key === undefined ? '' : hashOf(spec, request);
  const stored = key === undefined ? undefined : context.store.idempotency.get(key);
  if (stored) {
    const replayed = replay(stored, hash);
    if (request.trace) request.trace.replayed = true;
    return replayed;
  }
  if (key !== undefined && keys.has(key)) throw keyInFlight();
  if (key !== undefined) keys.add(key);
  try {
    await takeDelay(context, point, 'before');
    const refusal = takeRefusal(context.faults, point);
    if (refusal) throw refusal;
    const apiRequest: ApiRequest = {
      params: request.params as Record<string, string>,
      query: request.query as Record<string, unknown>,
      body: request.body,
      ifMatch: parseIfMatch(request.headers['if-match']),
      headers: request.headers,
    };
    if (spec.isFenced) checkRevision(context, apiRequest, point);
    const answer = handler(apiRequest);
    if (key !== undefined || answer.change) {
      const idempotency = key === undefined ? undefined : toRecord(key, hash, answer);
      const change = { ...answer.change, ...(idempotency ? { idempotency } : {}) };
      context.store.commit(change, ...(answer.notes ?? []));
    }
    answer.effect?.();
    await takeDelay(context, point, 'after');
    return answer;
  } finally {
    if (key !== undefined) keys.delete(key);
  }
}

async function respond(
  context: EmulatorContext,
  reply: FastifyReply,
  answer: ApiAnswer,
  point: FaultPoint,
): Promise<FastifyReply> {
  const failed = context.faults.take('error-after-commit', point);
  if (failed) throw statusError(failed);
  const body = spoilBody(context.faults, point, answer.body);
  if (context.faults.take('response-lost', point)) return cut(context, reply, answer.status, '');
  const text = JSON.stringify(body);
  if (context.faults.take('cut-json', point)) return cut(context, reply, answer.status, text);
  return reply
    .code(answer.status)
    .headers(answer.headers ?? {})
    .type('application/json')
    .send(text);
}

/** Sends half of `text`, or nothing, and cuts the connection. */
function cut(context: EmulatorContext, reply: FastifyReply, status: number, text: string): FastifyReply {
  noteCall(context, reply.request, status, 'response lost');
  reply.hijack();
  const { socket } = reply.request.raw;
  if (text === '') {
    socket.destroy();
    return reply;
  }
  const head = `HTTP/1.1 ${status} OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n`;
  socket.end(head + text.slice(0, Math.ceil(text.length / 2)));
  return reply;
}

/** Writes one call into the ledger; before the answer leaves, so that a reader never misses what it caused. */
export function noteCall(context: EmulatorContext, request: FastifyRequest, status: number, fault?: string): void {
  const params = (request.params ?? {}) as Record<string, string>;
  context.store.note({
    kind: 'api',
    method: request.method,
    route: request.trace?.route ?? 'unknown',
    path: request.url.split('?')[0] ?? request.url,
    ...(params['machine_id'] === undefined ? {} : { machineId: params['machine_id'] }),
    idempotencyKey: request.headers['idempotency-key'] ?? null,
    ifMatch: request.headers['if-match'] ?? null,
    status,
    errorCode: request.trace?.errorCode ?? null,
    ...(request.trace?.replayed ? { replayed: true } : {}),
    ...(fault === undefined ? {} : { fault }),
  });
}

async function takeDelay(context: EmulatorContext, point: FaultPoint, at: 'before' | 'after'): Promise<void> {
  const fault = context.faults.take('delay', { ...point, at });
  if (fault) await new Promise((resolve) => setTimeout(resolve, fault.delayMs));
}

const COMPACT_UUID_V7 = /^[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/;

function idempotencyKey(context: EmulatorContext, request: FastifyRequest): string {
  const key = request.headers['idempotency-key'];
  const location = 'header.Idempotency-Key';
  if (typeof key !== 'string' || key === '' || key.length > IDEMPOTENCY_KEY_CHARS_MAX) {
    const message = 'required header parameter is missing';
    throw problem(422, 'validation failed', [{ location, message }]);
  }
  if (context.rules.requiresUuidKeys && !COMPACT_UUID_V7.test(key)) {
    throw problem(422, 'validation failed', [{ location, message: 'expected a compact UUIDv7', value: key }]);
  }
  return key;
}

function hashOf(spec: RouteSpec, request: FastifyRequest): string {
  try {
    return shortHash(JSON.stringify([spec.method, request.url, request.body ?? null]));
  } catch {
    throw problem(400, 'request body is nested too deeply'); // It can be read at any depth, but not written.
  }
}

function replay(stored: IdempotencyRecord, hash: string): ApiAnswer {
  if (stored.requestHash !== hash) {
    throw codedError({
      status: 409,
      code: 'IDEMPOTENCY_KEY_REUSED',
      message: 'idempotency key was used with a different request',
      retryable: false,
      details: { expected_request_hash: stored.requestHash, provided_request_hash: hash },
    });
  }
  return { status: stored.status, body: stored.body, headers: stored.headers };
}

function keyInFlight(): WireError {
  return codedError({
    status: 429,
    code: 'RATE_LIMITED',
    message: 'a request with this idempotency key is in flight',
    retryable: true,
    retryAfterMs: IDEMPOTENCY_RETRY_AFTER_MS,
  });
}

function toRecord(key: string, requestHash: string, answer: ApiAnswer): IdempotencyRecord {
  return { key, requestHash, status: answer.status, headers: answer.headers ?? {}, body: answer.body };
}

/** `"3"`, `W/"3"` and `3` all mean revision 3. */
function parseIfMatch(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  return header
    .trim()
    .replace(/^W\//, '')
    .replace(/^"(.*)"$/, '$1');
}

function checkRevision(context: EmulatorContext, request: ApiRequest, point: FaultPoint): void {
  const machine = findMachine(context, request.params['machine_id'] ?? '');
  if (!machine || machine.phase === 'destroyed') return;
  const provided = request.ifMatch;
  if (provided === undefined && context.rules.requiresIfMatch) {
    const message = 'required header parameter is missing';
    throw problem(422, 'validation failed', [{ location: 'header.If-Match', message }]);
  }
  const injected = takeConflict(context.faults, point, machine.revision, provided ?? '');
  if (injected) throw injected;
  if (provided !== undefined && provided !== '*' && provided !== String(machine.revision)) {
    throw revisionMismatch(String(machine.revision), provided);
  }
}
