/** What only the newest generation has (RAM autoresizing, log records of executions), and the networks of the one before. */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { getMachine, type EmulatorContext } from '../context.js';
import { logCapture } from '../wire/bodies.js';
import { notFound } from '../wire/errors.js';
import { newId } from '../wire/ids.js';
import { defineRoute, type ApiRequest } from './define.js';
import { getExecution } from './executions.js';
import { parseBody } from './validate.js';

const LOG_TOKEN_LIFETIME_MS = 15 * 60 * 1_000;
const enabledSchema = z.strictObject({ enabled: z.boolean() });

/** Remembered and answered; no guest's memory ever changes. */
export function registerAutoresizingRoutes(app: FastifyInstance, context: EmulatorContext): void {
  const url = '/machines/:machine_id/autoresizing';
  const target = (request: ApiRequest) => getMachine(context, request.params['machine_id'] ?? '');

  defineRoute(app, context, { name: 'autoresizing.get', method: 'GET', url }, (request) => ({
    status: 200,
    body: { enabled: target(request).ramAutoresizing },
  }));
  defineRoute(app, context, { name: 'autoresizing.update', method: 'PUT', url }, (request) => {
    const { enabled } = parseBody(enabledSchema, request.body);
    const machine = { ...target(request), ramAutoresizing: enabled };
    const note = { kind: 'machine.autoresizing', machineId: machine.id, enabled };
    return { status: 200, body: { enabled }, change: { machine }, notes: [note] };
  });

  const organization = '/organization/autoresizing';
  defineRoute(app, context, { name: 'organization.autoresizing.get', method: 'GET', url: organization }, () => ({
    status: 200,
    body: { enabled: context.emulatorRecord().orgAutoresizing },
  }));
  defineRoute(
    app,
    context,
    { name: 'organization.autoresizing.update', method: 'PUT', url: organization },
    (request) => {
      const { enabled } = parseBody(enabledSchema, request.body);
      const emulator = context.emulatorRecord({ orgAutoresizing: enabled });
      return { status: 200, body: { enabled }, change: { emulator } };
    },
  );
}

/** The log text itself is read from another host in a form that is not known: its address here answers 501. */
export function registerLogRoutes(app: FastifyInstance, context: EmulatorContext): void {
  const url = '/machines/:machine_id/executions/:execution_id/logs';
  const status = (request: ApiRequest) => {
    const execution = getExecution(context, request);
    const isOver = execution.completedAt !== null;
    const publication = { complete: isOver, queued_messages: 0, state: isOver ? 'closed' : 'active' };
    const stream = { stream_id: `stream-${execution.id}` };
    return {
      status: 200,
      body: { execution_id: execution.id, capture: logCapture(execution), publication, ...stream },
    };
  };
  defineRoute(app, context, { name: 'executions.logs.get', method: 'GET', url }, status);
  defineRoute(app, context, { name: 'executions.logs.reauthorize', method: 'POST', url: `${url}/reauthorize` }, status);
  defineRoute(app, context, { name: 'executions.logs.token', method: 'POST', url: `${url}/token` }, (request) => {
    const execution = getExecution(context, request);
    const body = {
      access_token: newId('log'),
      base_url: `http://${request.headers.host ?? 'localhost'}/_emulator/logs`,
      execution_id: execution.id,
      expires_at: new Date(context.store.clock.now() + LOG_TOKEN_LIFETIME_MS).toISOString(),
      stream_id: `stream-${execution.id}`,
      token_type: 'Bearer',
    };
    return { status: 200, body };
  });
}

/** Addresses are made up: guests have no network of their own. */
export function registerNetworkRoutes(app: FastifyInstance, context: EmulatorContext): void {
  const networkId = 'net-emulator';
  defineRoute(
    app,
    context,
    { name: 'networks.machine', method: 'GET', url: '/machines/:machine_id/network' },
    (request) => {
      const machine = getMachine(context, request.params['machine_id'] ?? '');
      const n = (machine.guestUid ?? 2) % 65_000;
      const body = {
        machine_id: machine.id,
        network_id: networkId,
        network_name: 'default',
        private_ipv4: `10.90.${Math.floor(n / 250)}.${(n % 250) + 2}`,
        private_ipv6: `fd00:90::${n.toString(16)}`,
        hostname: `machine-${machine.id.slice(-6)}`,
      };
      return { status: 200, body };
    },
  );
  defineRoute(app, context, { name: 'networks.get', method: 'GET', url: '/networks/:network_id' }, (request) => {
    if (request.params['network_id'] !== networkId) throw notFound('network');
    return { status: 200, body: { network_id: networkId, name: 'default', gateways: [] } };
  });
}
