/**
 * The admin routes under `/_emulator/`: the ledger, the clock, settings, faults, and what happens to machines behind
 * the API's back. Same key as the API; loopback callers only, whatever the server is bound to.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { CLOCK_ADVANCE_MS_MAX, CLOCK_MS_MAX, LEDGER_PAGE_MAX } from '../constants.js';
import { findMachine, type EmulatorContext } from '../context.js';
import { faultSchema } from '../faults/faults.js';
import { acceptDestroy, acceptSleep } from '../machines/phases.js';
import type { MachineRecord, ResourceRecord } from '../state/records.js';
import { settingsSchema } from '../state/settings.js';
import { notFound, problem } from '../wire/errors.js';
import { newId } from '../wire/ids.js';
import { parseBody, queryString } from './validate.js';

const clockSchema = z.union([
  z.strictObject({ advanceMs: z.number().min(0).max(CLOCK_ADVANCE_MS_MAX) }),
  z.strictObject({ rate: z.number().min(0).max(1_000_000) }),
]);

const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '::1', '::ffff:127.0.0.1']);

export function registerAdminRoutes(app: FastifyInstance, context: EmulatorContext): void {
  const { store, faults } = context;
  app.addHook('onRequest', async (request) => {
    if (!LOOPBACK.has(request.socket.remoteAddress ?? '')) throw notFound('route');
  });

  app.get('/ledger', async (request) => {
    const query = request.query as Record<string, unknown>;
    const after = Number(queryString(query, 'after') ?? 0);
    const limit = Math.min(Number(queryString(query, 'limit') ?? LEDGER_PAGE_MAX), LEDGER_PAGE_MAX);
    return { entries: store.ledger.read(after, limit), lastSeq: store.ledger.lastSeq() };
  });

  const clock = (): object => ({ now: store.clock.nowIso(), nowMs: store.clock.now(), rate: store.clock.rate() });
  app.get('/clock', async () => clock());
  app.post('/clock', async (request) => {
    const change = parseBody(clockSchema, request.body);
    if ('advanceMs' in change) {
      if (store.clock.now() + change.advanceMs > CLOCK_MS_MAX) throw problem(400, 'the clock cannot go so far');
      store.clock.advance(change.advanceMs);
    }
    if ('rate' in change) store.clock.setRate(change.rate);
    store.commit({ emulator: context.emulatorRecord({ clock: store.clock.snapshot() }) }, { kind: 'clock', ...change });
    return clock();
  });

  app.get('/settings', async () => context.settings());
  app.put('/settings', async (request) => {
    const given = (request.body ?? {}) as Record<string, unknown>;
    const settings = parseBody(settingsSchema, { ...context.settings(), ...given });
    store.commit({ emulator: context.emulatorRecord({ settings }) }, { kind: 'settings', ...given });
    return context.settings();
  });

  app.get('/faults', async () => ({ items: faults.list() }));
  app.post('/faults', async (request) => {
    const fault = faults.add(parseBody(faultSchema, request.body));
    store.note({ ...fault, kind: 'fault.added', fault: fault.kind });
    return fault;
  });
  app.delete('/faults', async () => {
    faults.clear();
    for (const machine of [...store.machines.values()]) if (machine.stuckReason !== null) release(context, machine);
    return { items: [] };
  });

  for (const url of ['/previews/*', '/logs/*']) {
    app.all(url, async () => {
      throw problem(501, 'not emulated: see docs/emulator-differences.md');
    });
  }

  app.get('/machines', async () => ({
    machines: [...store.machines.values()].map((machine) => truth(context, machine)),
  }));
  app.get('/machines/:machine_id', async (request) => truth(context, target(context, request)));
  app.post('/machines/:machine_id/:action', async (request) => {
    const machine = target(context, request);
    const { action } = request.params as { action: string };
    store.note({ kind: 'admin', machineId: machine.id, action });
    await act(context, machine, action, request.body);
    return truth(context, store.machines.get(machine.id) ?? machine);
  });
}

function target(context: EmulatorContext, request: FastifyRequest): MachineRecord {
  const machine = findMachine(context, (request.params as Record<string, string>)['machine_id'] ?? '');
  if (!machine) throw notFound('machine');
  return machine;
}

/** A machine as it is, whatever the API says about it. */
function truth(context: EmulatorContext, machine: MachineRecord): object {
  const sandbox = context.host.sandbox(machine.id);
  return {
    machineId: machine.id,
    phase: machine.phase,
    desiredState: machine.desiredState,
    revision: machine.revision,
    reason: machine.reason,
    bootId: machine.bootId,
    isUsable: context.lifecycle.isUsable(machine),
    isFrozen: machine.isFrozen,
    homePath: context.host.paths(machine.id).home,
    lostHomes: context.host.lostHomes(machine.id),
    guestUid: machine.guestUid,
    initPid: sandbox?.initPid ?? null,
    freezer: context.host.freezer.kind,
    hasSnapshot: context.host.hasSnapshot(machine.id),
    createdAt: machine.createdAt,
    autosleepSeconds: machine.autosleepSeconds,
    sizes: { vcpu: machine.vcpu, memoryMib: machine.memoryMib, storageGib: machine.storageGib },
    awake: machine.awake,
  };
}

async function act(context: EmulatorContext, machine: MachineRecord, action: string, body: unknown): Promise<void> {
  const { host, lifecycle, store } = context;
  switch (action) {
    case 'kill': {
      host.sandbox(machine.id)?.signalAll('KILL');
      return;
    }
    case 'crash':
      return lifecycle.crash(machine.id);
    case 'delete': {
      if (machine.phase === 'destroyed') return;
      return lifecycle.commitDesired(acceptDestroy(machine, store.clock.nowIso()), 'admin');
    }
    case 'autosleep': {
      if (machine.phase !== 'running' || machine.desiredState !== 'running')
        throw problem(400, 'the machine is not awake');
      return lifecycle.commitDesired(acceptSleep(machine, store.clock.nowIso()), 'autosleep');
    }
    case 'release': {
      if (machine.stuckReason !== null) release(context, machine);
      return;
    }
    case 'reboot':
    case 'rollback': {
      const isRollback = action === 'rollback';
      if (isRollback && !host.hasSnapshot(machine.id)) {
        throw problem(400, 'no snapshot: the machine has not slept cold, or its home is too large');
      }
      const restore = (): Promise<void> => (isRollback ? host.restoreSnapshot(machine.id) : Promise.resolve());
      if (await lifecycle.rebootNow(machine.id, action, restore)) return;
      throw problem(400, 'the machine is in transition');
    }
    case 'artifacts': {
      store.commit({ resource: newArtifact(context, machine, body) });
      return;
    }
    default:
      throw notFound('action');
  }
}

const artifactSchema = z.strictObject({ name: z.string().min(1), sizeBytes: z.number().int().min(0).default(0) });

/** The vendor does not say how a file becomes an artifact; this makes a record without content. */
function newArtifact(context: EmulatorContext, machine: MachineRecord, body: unknown): ResourceRecord {
  const { name, sizeBytes } = parseBody(artifactSchema, body);
  const now = context.store.clock.nowIso();
  return {
    kind: 'artifact',
    id: newId('art'),
    machineId: machine.id,
    status: 'ready',
    createdAt: now,
    readyAt: now,
    errorCode: null,
    errorMessage: null,
    isDeleted: false,
    fields: { name, size_bytes: sizeBytes },
  };
}

function release(context: EmulatorContext, machine: MachineRecord): void {
  const released = { ...machine, stuckReason: null, reason: 'PlacementPending', retryable: false };
  context.store.commit({ machine: released });
  context.lifecycle.changed(released);
}
