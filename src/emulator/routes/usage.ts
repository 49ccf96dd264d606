/** Usage of machines by the emulator's clock: awake seconds and what follows from them. Prices are nobody's business here. */
import type { FastifyInstance } from 'fastify';
import type { EmulatorContext } from '../context.js';
import type { AwakeInterval, MachineRecord } from '../state/records.js';
import type { Body } from '../wire/bodies.js';
import { problem } from '../wire/errors.js';
import { shortHash } from '../wire/ids.js';
import { defineRoute, type ApiRequest } from './define.js';
import { queryString } from './validate.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const MIB_PER_GIB = 1_024;
const PLAN_SLUG = 'emulator';

interface Period {
  startMs: number;
  endMs: number;
}

export function registerUsageRoutes(app: FastifyInstance, context: EmulatorContext): void {
  defineRoute(app, context, { name: 'usage.get', method: 'GET', url: '/usage' }, (request) => ({
    status: 200,
    body: summary(context, periodOf(context, request)),
  }));

  defineRoute(app, context, { name: 'usage.compute', method: 'GET', url: '/usage/machines/compute' }, (request) => {
    const granularity = queryString(request.query, 'granularity') ?? 'hour';
    if (granularity !== 'hour' && granularity !== 'day')
      throw badQuery('granularity', 'expected hour or day', granularity);
    const period = periodOf(context, request);
    const stepMs = granularity === 'hour' ? HOUR_MS : DAY_MS;
    const rows = chosen(context, request).flatMap((machine) => computeRows(context, machine, period, stepMs));
    return { status: 200, body: { granularity, ...isoPeriod(period), rows } };
  });

  defineRoute(app, context, { name: 'usage.storage', method: 'GET', url: '/usage/machines/storage' }, (request) => {
    const period = periodOf(context, request);
    const rows = chosen(context, request).flatMap((machine) => storageRows(context, machine, period));
    return { status: 200, body: { ...isoPeriod(period), rows } };
  });
}

function badQuery(name: string, message: string, value: string): Error {
  return problem(422, 'validation failed', [{ location: `query.${name}`, message, value }]);
}

function dateOf(request: ApiRequest, name: string): number | undefined {
  const text = queryString(request.query, name);
  if (text === undefined) return undefined;
  const ms = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : NaN;
  if (Number.isNaN(ms)) throw badQuery(name, 'expected YYYY-MM-DD', text);
  return ms;
}

function periodOf(context: EmulatorContext, request: ApiRequest): Period {
  const now = new Date(context.store.clock.now());
  const firstOfMonth = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1);
  const lastDate = dateOf(request, 'period_end');
  const endMs = lastDate === undefined ? now.getTime() : Math.min(lastDate + DAY_MS, now.getTime());
  return { startMs: dateOf(request, 'period_start') ?? firstOfMonth, endMs };
}

function isoPeriod({ startMs, endMs }: Period): Body {
  return { period_start: new Date(startMs).toISOString(), period_end: new Date(endMs).toISOString() };
}

function chosen(context: EmulatorContext, request: ApiRequest): MachineRecord[] {
  const bare = queryString(request.query, 'machine_id')?.replace(/^dm-/, '');
  const machines = [...context.store.machines.values()];
  return bare === undefined ? machines : machines.filter((machine) => machine.id.replace(/^dm-/, '') === bare);
}

/** Awake seconds within a period. */
function awakeSeconds(intervals: readonly AwakeInterval[], { startMs, endMs }: Period): number {
  let ms = 0;
  for (const { startedAt, endedAt } of intervals) {
    const from = Math.max(Date.parse(startedAt), startMs);
    const to = Math.min(endedAt === null ? endMs : Date.parse(endedAt), endMs);
    ms += Math.max(0, to - from);
  }
  return ms / 1_000;
}

/** The storage of a machine counts from its creation to its destruction. */
function storedSeconds(machine: MachineRecord, { startMs, endMs }: Period): number {
  const goneMs = machine.phase === 'destroyed' ? Date.parse(machine.lastTransitionAt) : endMs;
  return Math.max(0, Math.min(goneMs, endMs) - Math.max(Date.parse(machine.createdAt), startMs)) / 1_000;
}

/** CPU time of guests is not metered: every awake second counts as a busy one, the upper bound. */
function computeFigures(machine: MachineRecord, seconds: number): { cpu: number; memory: number } {
  return { cpu: Math.round(machine.vcpu * 1_000 * seconds), memory: Math.round(machine.memoryMib * seconds) };
}

function summary(context: EmulatorContext, period: Period): Body {
  const totals = { awake: 0, cpu: 0, memory: 0, storage: 0, provisioned: 0 };
  for (const machine of context.store.machines.values()) {
    const seconds = awakeSeconds(machine.awake, period);
    const { cpu, memory } = computeFigures(machine, seconds);
    totals.awake += seconds;
    totals.cpu += cpu;
    totals.memory += memory;
    totals.storage += storedSeconds(machine, period) * machine.storageGib * MIB_PER_GIB;
    if (machine.phase !== 'destroyed') totals.provisioned += machine.storageGib;
  }
  return {
    plan_slug: PLAN_SLUG,
    billed_awake_seconds: Math.round(totals.awake),
    billed_cpu_millicore_seconds: totals.cpu,
    billed_memory_mib_seconds: totals.memory,
    billed_logical_storage_mib_seconds: Math.round(totals.storage),
    included_storage_gib: 0,
    provisioned_storage_gib: totals.provisioned,
  };
}

function computeRows(context: EmulatorContext, machine: MachineRecord, period: Period, stepMs: number): Body[] {
  const rows: Body[] = [];
  const first = Date.parse(machine.awake[0]?.startedAt ?? new Date(period.endMs).toISOString());
  let startMs = Math.floor(Math.max(period.startMs, first) / stepMs) * stepMs;
  for (; startMs < period.endMs; startMs += stepMs) {
    const bucket = { startMs: Math.max(startMs, period.startMs), endMs: Math.min(startMs + stepMs, period.endMs) };
    const seconds = awakeSeconds(machine.awake, bucket);
    if (seconds === 0) continue;
    const { cpu, memory } = computeFigures(machine, seconds);
    const shape = `${machine.vcpu}/${machine.memoryMib}/${machine.storageGib}`;
    rows.push({
      machine_id: machine.id,
      awake_seconds: Math.round(seconds),
      cpu_millicore_seconds: cpu,
      memory_mib_seconds: memory,
      requested_vcpu: machine.vcpu,
      requested_memory_mib: machine.memoryMib,
      requested_storage_gib: machine.storageGib,
      spec_fingerprint: shortHash(shape),
      window_count: 1,
      bucket_start: new Date(startMs).toISOString(),
      bucket_end: new Date(startMs + stepMs).toISOString(),
      last_window_end: new Date(bucket.endMs).toISOString(),
      org_metering_bucket_ids: [`compute-${startMs}`],
      ...(context.rules.usage === 'stripe' ? { stripe_cpu_identifiers: [], stripe_memory_identifiers: [] } : {}),
    });
  }
  return rows;
}

function storageRows(context: EmulatorContext, machine: MachineRecord, period: Period): Body[] {
  const seconds = storedSeconds(machine, period);
  if (seconds === 0) return [];
  return [
    {
      machine_id: machine.id,
      logical_storage_bytes: machine.storageGib * MIB_PER_GIB * 1_048_576,
      storage_mib_seconds: Math.round(seconds * machine.storageGib * MIB_PER_GIB),
      bucket_start: new Date(period.startMs).toISOString(),
      bucket_end: new Date(period.endMs).toISOString(),
      org_metering_bucket_id: `storage-${period.startMs}`,
      ...(context.rules.usage === 'stripe' ? { stripe_storage_identifier: `none-${machine.id}` } : {}),
    },
  ];
}
