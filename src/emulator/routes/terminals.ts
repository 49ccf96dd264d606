/** Terminals: open, read, list, close. Their sockets are in terminal-stream.ts. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { GUEST_HOME, TERMINAL_COLUMNS_MAX, TERMINAL_ROWS_MAX } from '../constants.js';
import { getMachine, type EmulatorContext } from '../context.js';
import type { TerminalRecord } from '../state/records.js';
import { newTerminalToken } from '../terminals/terminals.js';
import { terminalBody, type Body } from '../wire/bodies.js';
import { notFound } from '../wire/errors.js';
import { newId } from '../wire/ids.js';
import { defineRoute, type ApiRequest } from './define.js';
import { pageOf, parseBody } from './validate.js';

const text = z.string().regex(/^[^\0]+$/);

const createSchema = z.strictObject({
  width: z.number().int().positive().max(TERMINAL_COLUMNS_MAX),
  height: z.number().int().positive().max(TERMINAL_ROWS_MAX),
  shell: text.default('/bin/bash'),
  cwd: text.default(GUEST_HOME),
  env: z.record(z.string().regex(/^[^=\0]+$/), z.string().regex(/^[^\0]*$/)).default({}),
});

export function registerTerminalRoutes(app: FastifyInstance, context: EmulatorContext): void {
  const { store, terminals, lifecycle } = context;
  const all = '/machines/:machine_id/terminals';
  const one = `${all}/:terminal_id`;
  const show = (request: ApiRequest, terminal: TerminalRecord): Body =>
    terminalBody(terminal, `ws://${request.headers.host ?? 'localhost'}`);
  const target = (request: ApiRequest): TerminalRecord => {
    const machine = getMachine(context, request.params['machine_id'] ?? '');
    const terminal = terminals.find(machine.id, request.params['terminal_id'] ?? '');
    if (!terminal) throw notFound('terminal');
    return terminal;
  };

  defineRoute(app, context, { name: 'terminals.create', method: 'POST', url: all }, (request) => {
    const machine = getMachine(context, request.params['machine_id'] ?? '');
    const body = parseBody(createSchema, request.body);
    const isReady = lifecycle.isUsable(machine);
    const now = store.clock.nowIso();
    const terminal: TerminalRecord = {
      id: newId('term'),
      machineId: machine.id,
      ...body,
      status: isReady ? 'ready' : 'wake_in_progress',
      createdAt: now,
      readyAt: isReady ? now : null,
      token: newTerminalToken(),
      errorCode: null,
      errorMessage: null,
    };
    return {
      status: 200,
      body: show(request, terminal),
      change: { terminal },
      notes: [{ kind: 'terminal.created', machineId: machine.id, terminalId: terminal.id }],
      effect: () => {
        lifecycle.implicitWake(machine, 'terminal');
        terminals.open(terminal.id, machine.id);
      },
    };
  });

  defineRoute(app, context, { name: 'terminals.list', method: 'GET', url: all }, (request) => {
    const machine = getMachine(context, request.params['machine_id'] ?? '');
    const page = pageOf([...(store.terminals.get(machine.id)?.values() ?? [])], (item) => item.id, request.query);
    return { status: 200, body: { ...page, items: page.items.map((item) => show(request, item)) } };
  });

  defineRoute(app, context, { name: 'terminals.get', method: 'GET', url: one }, (request) => ({
    status: 200,
    body: show(request, target(request)),
  }));

  defineRoute(app, context, { name: 'terminals.delete', method: 'DELETE', url: one }, (request) => ({
    status: 200,
    body: show(request, terminals.close(target(request))),
  }));
}
