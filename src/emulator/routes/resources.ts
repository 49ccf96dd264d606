/**
 * Previews, ports, SSH sessions and artifacts: records that follow their machine. Nothing listens behind them: a
 * preview's or port's URL answers 501, and an SSH session ends as failed with SSH_NOT_EMULATED.
 */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { getMachine, type EmulatorContext } from '../context.js';
import type { ResourceRecord } from '../state/records.js';
import { resourceBody } from '../wire/bodies.js';
import { notFound } from '../wire/errors.js';
import { newId } from '../wire/ids.js';
import { defineRoute, type ApiRequest } from './define.js';
import { pageOf, parseBody } from './validate.js';

type Kind = ResourceRecord['kind'];

interface ResourceSpec {
  kind: Kind;
  /** Folder in the path and prefix of the route's name. */
  folder: string;
  idParam: string;
  idPrefix: string;
  /** Undefined where there is no create call. */
  schema: z.ZodType<Record<string, unknown>> | undefined;
}

const port = z.number().int().min(1).max(65_535);
const protocol = z.enum(['http', 'https']).default('http');

const PREVIEWS: ResourceSpec = {
  kind: 'preview',
  folder: 'previews',
  idParam: 'preview_id',
  idPrefix: 'prev',
  schema: z.strictObject({ port, protocol, visibility: z.enum(['public', 'private', 'org']).default('private') }),
};
const PORTS: ResourceSpec = {
  kind: 'port',
  folder: 'ports',
  idParam: 'port_id',
  idPrefix: 'port',
  schema: z.strictObject({ port, protocol }),
};
const SSH: ResourceSpec = {
  kind: 'ssh',
  folder: 'ssh',
  idParam: 'session_id',
  idPrefix: 'ssh',
  schema: z.strictObject({ public_key: z.string().regex(/^(ssh|ecdsa)-\S+ \S+/, 'expected an OpenSSH public key') }),
};
const ARTIFACTS: ResourceSpec = {
  kind: 'artifact',
  folder: 'artifacts',
  idParam: 'artifact_id',
  idPrefix: 'art',
  schema: undefined,
};

export function registerResourceRoutes(app: FastifyInstance, context: EmulatorContext): void {
  const { rules, lifecycle } = context;
  const kinds = [SSH];
  if (rules.hasPreviews) kinds.push(PREVIEWS);
  if (rules.hasPorts) kinds.push(PORTS);
  if (rules.hasArtifacts) kinds.push(ARTIFACTS);
  for (const spec of kinds) registerResource(app, context, spec);
  lifecycle.listeners.add({
    onUsable: (machine) => {
      for (const record of of(context, machine.id)) {
        if (record.status === 'wake_in_progress') context.store.commit({ resource: becomeReady(context, record) });
      }
    },
  });
}

function registerResource(app: FastifyInstance, context: EmulatorContext, spec: ResourceSpec): void {
  const all = `/machines/:machine_id/${spec.folder}`;
  const one = `${all}/:${spec.idParam}`;
  const { schema } = spec;
  const target = (request: ApiRequest): ResourceRecord => {
    const machine = getMachine(context, request.params['machine_id'] ?? '');
    const record = context.store.resources.get(request.params[spec.idParam] ?? '');
    if (!record || record.machineId !== machine.id || record.kind !== spec.kind || record.isDeleted) {
      throw notFound(spec.kind);
    }
    return record;
  };

  if (schema) {
    defineRoute(app, context, { name: `${spec.folder}.create`, method: 'POST', url: all }, (request) => {
      const machine = getMachine(context, request.params['machine_id'] ?? '');
      const fields = parseBody(schema, request.body);
      const waiting = newResource(context, spec, machine.id, fields, request.headers.host ?? 'localhost');
      const resource = context.lifecycle.isUsable(machine) ? becomeReady(context, waiting) : waiting;
      const effect = (): void => {
        // Only sessions wake a machine by being made; a preview does so when it is hit.
        if (spec.kind === 'ssh') context.lifecycle.implicitWake(machine, 'ssh');
      };
      return { status: 200, body: resourceBody(resource), change: { resource }, effect };
    });
  }

  defineRoute(app, context, { name: `${spec.folder}.list`, method: 'GET', url: all }, (request) => {
    const machine = getMachine(context, request.params['machine_id'] ?? '');
    const records = of(context, machine.id).filter((record) => record.kind === spec.kind);
    const isVisible = (record: ResourceRecord): boolean => !record.isDeleted;
    const page = pageOf(records, (record) => record.id, request.query, isVisible);
    return { status: 200, body: { ...page, items: page.items.map(resourceBody) } };
  });

  defineRoute(app, context, { name: `${spec.folder}.get`, method: 'GET', url: one }, (request) => ({
    status: 200,
    body: resourceBody(target(request)),
  }));

  defineRoute(app, context, { name: `${spec.folder}.delete`, method: 'DELETE', url: one }, (request) => {
    const resource: ResourceRecord = { ...target(request), status: 'closed', isDeleted: true };
    return { status: 200, body: resourceBody(resource), change: { resource } };
  });
}

function of(context: EmulatorContext, machineId: string): ResourceRecord[] {
  return [...context.store.resources.values()].filter((record) => record.machineId === machineId);
}

function newResource(
  context: EmulatorContext,
  spec: ResourceSpec,
  machineId: string,
  given: Record<string, unknown>,
  host: string,
): ResourceRecord {
  const id = newId(spec.idPrefix);
  // A public key is only ever sent, never answered.
  const fields = spec.kind === 'ssh' ? {} : { ...given, url: `http://${host}/_emulator/previews/${id}` };
  return {
    kind: spec.kind,
    id,
    machineId,
    status: 'wake_in_progress',
    createdAt: context.store.clock.nowIso(),
    readyAt: null,
    errorCode: null,
    errorMessage: null,
    isDeleted: false,
    fields,
  };
}

function becomeReady(context: EmulatorContext, record: ResourceRecord): ResourceRecord {
  if (record.kind !== 'ssh') return { ...record, status: 'ready', readyAt: context.store.clock.nowIso() };
  const errorMessage = 'the emulator runs no SSH server; use executions or terminals';
  return { ...record, status: 'failed', errorCode: 'SSH_NOT_EMULATED', errorMessage };
}
