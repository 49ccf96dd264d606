/** Executions: submit, read, list, output, events, cancel; and, in the newest generation, log records. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import {
  COMMAND_BYTES_MAX,
  COMMAND_WORDS_MAX,
  ENV_ENTRIES_MAX,
  EXECUTION_TIMEOUT_MS_DEFAULT,
  EXECUTION_TIMEOUT_MS_MAX,
} from '../constants.js';
import { getMachine, type EmulatorContext } from '../context.js';
import { joinChunks } from '../executions/output-buffer.js';
import type { ExecutionRecord } from '../state/records.js';
import { executionBody, outputBody, type Body } from '../wire/bodies.js';
import { notFound } from '../wire/errors.js';
import { newExecutionId } from '../wire/ids.js';
import { defineRoute, type ApiRequest } from './define.js';
import { pageOf, parseBody } from './validate.js';

const noNul = (text: string): boolean => !text.includes('\0');

const createSchema = z.strictObject({
  command: z
    .array(z.string().refine(noNul, 'must not contain NUL'))
    .min(1)
    .max(COMMAND_WORDS_MAX)
    .refine((words) => words[0] !== '', 'must name a program')
    .refine((words) => words.join(' ').length <= COMMAND_BYTES_MAX, 'is too long'),
  cwd: z.string().refine(noNul, 'must not contain NUL').optional(),
  env: z
    .record(z.string().regex(/^[^=\0]+$/), z.string().refine(noNul, 'must not contain NUL'))
    .refine((env) => Object.keys(env).length <= ENV_ENTRIES_MAX, 'has too many entries')
    .optional(),
  stdin: z.string().optional(),
  timeout_ms: z.number().int().positive().max(EXECUTION_TIMEOUT_MS_MAX).optional(),
});

/** Reserved program: `["/emulator/refuse", "<error_code>"]` is refused with that code instead of being run. */
export const RESERVED_REFUSAL_PROGRAM = '/emulator/refuse';

export function registerExecutionRoutes(app: FastifyInstance, context: EmulatorContext): void {
  const { store, executions, lifecycle, profile } = context;
  const all = '/machines/:machine_id/executions';
  const one = `${all}/:execution_id`;
  const target = (request: ApiRequest): ExecutionRecord => getExecution(context, request);

  defineRoute(app, context, { name: 'executions.create', method: 'POST', url: all }, (request) => {
    const machine = getMachine(context, request.params['machine_id'] ?? '');
    const body = parseBody(createSchema, request.body);
    const execution: ExecutionRecord = {
      id: newExecutionId(),
      machineId: machine.id,
      command: body.command,
      cwd: body.cwd ?? null,
      env: body.env ?? {},
      stdin: body.stdin ?? null,
      timeoutMs: body.timeout_ms ?? EXECUTION_TIMEOUT_MS_DEFAULT,
      status: machine.phase === 'running' && machine.desiredState === 'running' ? 'queued' : 'wake_in_progress',
      createdAt: store.clock.nowIso(),
      ...NOTHING_YET,
    };
    if (body.command[0] === RESERVED_REFUSAL_PROGRAM) {
      context.faults.add(refusalFault(machine.id, body.command[1] ?? 'machine_not_routable'));
    }
    return {
      status: 200,
      body: executionBody(profile, execution),
      change: { execution },
      notes: [{ kind: 'execution.created', machineId: machine.id, executionId: execution.id }],
      effect: () => {
        lifecycle.implicitWake(machine, 'execution');
        executions.submit(execution.id, machine.id);
      },
    };
  });

  defineRoute(app, context, { name: 'executions.list', method: 'GET', url: all }, (request) => {
    const machine = getMachine(context, request.params['machine_id'] ?? '');
    const page = pageOf([...(store.executions.get(machine.id)?.values() ?? [])], (item) => item.id, request.query);
    return { status: 200, body: { ...page, items: page.items.map((item) => executionBody(profile, item)) } };
  });

  defineRoute(app, context, { name: 'executions.get', method: 'GET', url: one }, (request) => ({
    status: 200,
    body: executionBody(profile, target(request)),
  }));

  defineRoute(app, context, { name: 'executions.delete', method: 'DELETE', url: one }, (request) => ({
    status: 200,
    body: executionBody(profile, executions.cancel(target(request))),
  }));

  defineRoute(app, context, { name: 'executions.output', method: 'GET', url: `${one}/output` }, (request) => {
    const execution = target(request);
    const chunks = executions.chunks(execution);
    const output = { stdout: joinChunks(chunks, 'stdout'), stderr: joinChunks(chunks, 'stderr') };
    return { status: 200, body: outputBody(execution, output) };
  });

  defineRoute(app, context, { name: 'executions.events', method: 'GET', url: `${one}/events` }, (request) => {
    const events = eventsOf(context, target(request));
    return { status: 200, body: pageOf(events, (event) => String(event['sequence']), request.query) };
  });
}

export function getExecution(context: EmulatorContext, request: ApiRequest): ExecutionRecord {
  const machine = getMachine(context, request.params['machine_id'] ?? '');
  const execution = context.executions.find(machine.id, request.params['execution_id'] ?? '');
  if (!execution) throw notFound('execution');
  return execution;
}

const NOTHING_YET = {
  startedAt: null,
  completedAt: null,
  exitCode: null,
  signal: null,
  errorCode: null,
  errorMessage: null,
  stdoutBytes: 0,
  stderrBytes: 0,
  stdoutTruncated: false,
  stderrTruncated: false,
  chunks: null,
};

function refusalFault(machineId: string, code: string): Parameters<EmulatorContext['faults']['add']>[0] {
  const unused = { status: 500, delayMs: 0, at: 'before' as const, closeCode: 1006, afterBytes: 0, phase: '' };
  return { ...unused, kind: 'execution-refusal', count: 1, match: { machineId }, code };
}

function eventsOf(context: EmulatorContext, execution: ExecutionRecord): Body[] {
  const events: Body[] = [];
  const add = (event: Body): void => void events.push({ sequence: events.length + 1, ...event });
  const lifecycle = (at: string, status: string): void => add({ at, type: 'lifecycle', status });
  lifecycle(execution.createdAt, 'queued');
  if (execution.startedAt !== null) lifecycle(execution.startedAt, 'running');
  for (const { at, stream, text } of context.executions.chunks(execution)) add({ at, type: stream, chunk: text });
  if (execution.completedAt === null) return events;
  const end: Body = { at: execution.completedAt, type: 'lifecycle', status: execution.status };
  if (execution.exitCode !== null) end['exit_code'] = execution.exitCode;
  if (execution.signal !== null) end['signal'] = execution.signal;
  if (execution.errorCode !== null) end['error_code'] = execution.errorCode;
  if (execution.errorMessage !== null) end['error_message'] = execution.errorMessage;
  add(end);
  return events;
}
