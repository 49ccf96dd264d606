/** Machines: create, read, list, change, delete, sleep, wake, reboot. */
import type { FastifyInstance } from 'fastify';
import { findMachine, getMachine, type EmulatorContext } from '../context.js';
import { MachineHost } from '../machines/host.js';
import { desiredNotes } from '../machines/notes.js';
import { acceptDestroy, acceptReboot, acceptSleep, acceptWake, hasArrived } from '../machines/phases.js';
import { checkCapacity, createSchema, RESERVED_STORAGE_FAILS_GIB } from '../machines/requests.js';
import {
  RESERVED_STORAGE_NO_HOSTS_GIB,
  toMachineRequest,
  updateSchema,
  type MachineRequest,
} from '../machines/requests.js';
import type { LedgerNote } from '../state/ledger.js';
import type { MachineRecord } from '../state/records.js';
import { etag, machineBody } from '../wire/bodies.js';
import { notFound, problem } from '../wire/errors.js';
import { newMachineId, newStorageOperationId } from '../wire/ids.js';
import { defineRoute, type ApiAnswer, type ApiRequest } from './define.js';
import { pageOf, parseBody } from './validate.js';

export function registerMachineRoutes(app: FastifyInstance, context: EmulatorContext): void {
  const { rules, profile, store, lifecycle } = context;
  const one = '/machines/:machine_id';
  const target = (request: ApiRequest): MachineRecord => getMachine(context, request.params['machine_id'] ?? '');

  defineRoute(app, context, { name: 'machines.create', method: 'POST', url: '/machines' }, (request) => {
    const machine = newMachine(context, request.body);
    const { id: machineId, vcpu, memoryMib, storageGib, revision } = machine;
    const note = { kind: 'machine.created', machineId, vcpu, memoryMib, storageGib, revision };
    const emulator = context.emulatorRecord({ nextGuestUid: (store.emulator?.nextGuestUid ?? 0) + 1 });
    return { ...changed(context, machine, [note]), change: { machine, emulator } };
  });

  defineRoute(app, context, { name: 'machines.list', method: 'GET', url: '/machines' }, (request) => {
    const isAlive = (machine: MachineRecord): boolean => machine.phase !== 'destroyed';
    const page = pageOf([...store.machines.values()], (machine) => machine.id, request.query, isAlive);
    const items = page.items.map((machine) => machineBody(profile, asSeen(context, machine, 'machines.list'), 'item'));
    return { status: 200, body: { ...page, items } };
  });

  defineRoute(app, context, { name: 'machines.get', method: 'GET', url: one }, (request) => {
    const found = findMachine(context, request.params['machine_id'] ?? '');
    if (!found || (found.phase === 'destroyed' && context.settings().destroyedGet === 'not_found'))
      throw notFound('machine');
    const machine = asSeen(context, found, 'machines.get');
    return { status: 200, body: machineBody(profile, machine, 'detail'), headers: { etag: etag(machine) } };
  });

  defineRoute(app, context, { name: 'machines.update', method: 'PATCH', url: one, isFenced: true }, (request) => {
    // As at the vendor, a body is checked before its machine is looked for.
    const change = toMachineRequest(parseBody(updateSchema(rules), request.body));
    const machine = resized(context, target(request), change);
    const { id: machineId, vcpu, memoryMib, storageGib, revision } = machine;
    const note = { kind: 'machine.resized', machineId, vcpu, memoryMib, storageGib, revision };
    const answer = changed(context, machine, [note]);
    return { ...answer, effect: () => (lifecycle.changed(machine), lifecycle.rearmAutosleep(machine.id)) };
  });

  defineRoute(app, context, { name: 'machines.delete', method: 'DELETE', url: one, isFenced: true }, (request) =>
    desired(context, target(request), (machine, now) => acceptDestroy(machine, now)),
  );

  defineRoute(
    app,
    context,
    { name: 'machines.sleep', method: 'POST', url: `${one}/sleep`, isFenced: true },
    (request) => desired(context, target(request), (machine, now) => acceptSleep(machine, now)),
  );

  defineRoute(
    app,
    context,
    { name: 'machines.wake', method: 'POST', url: `${one}/wake`, isFenced: true },
    (request) => {
      lifecycle.touch(target(request).id);
      return desired(context, target(request), (machine, now) => {
        const isStuck = machine.desiredState === 'sleeping' && takeStuck(context, 'machines.wake', machine.id);
        return acceptWake(machine, now, isStuck ? 'NoReadyHosts' : null);
      });
    },
  );

  if (!rules.hasReboot) return;
  defineRoute(
    app,
    context,
    { name: 'machines.reboot', method: 'POST', url: `${one}/reboot`, isFenced: true },
    (request) =>
      desired(context, target(request), (machine, now) =>
        acceptReboot(machine, now, request.query['force'] === 'true'),
      ),
  );
}

/** What a reader is told: the truth, or by an injected fault the record before its last change. */
export function asSeen(context: EmulatorContext, machine: MachineRecord, route: string): MachineRecord {
  const previous = context.store.previousMachine(machine.id);
  if (previous && context.faults.take('stale-read', { route, machineId: machine.id })) return previous;
  return machine;
}

function takeStuck(context: EmulatorContext, route: string, machineId?: string): boolean {
  const target = machineId === undefined ? { route } : { route, machineId };
  return context.faults.take('placement-pending', target) !== undefined;
}

function newMachine(context: EmulatorContext, body: unknown): MachineRecord {
  const { rules, store } = context;
  const request = toMachineRequest(parseBody(createSchema(rules), body));
  const sizes = { vcpu: request.vcpu ?? 0, memoryMib: request.memoryMib ?? 0, storageGib: request.storageGib ?? 0 };
  checkCapacity(sizes);
  const now = store.clock.nowIso();
  const isStuck = sizes.storageGib === RESERVED_STORAGE_NO_HOSTS_GIB || takeStuck(context, 'machines.create');
  const accepted: MachineRecord = {
    id: newMachineId(rules.hasBareIds),
    createdAt: now,
    ...sizes,
    autosleepSeconds: request.autosleepSeconds ?? context.settings().autosleepDefaultSeconds,
    desiredState: 'running',
    phase: 'accepted',
    reason: 'Accepted',
    retryable: false,
    lastError: null,
    revision: 1,
    lastTransitionAt: now,
    lastProgressAt: now,
    bootId: null,
    isFrozen: false,
    guestUid: MachineHost.guestUid(store.emulator?.nextGuestUid ?? 0),
    awake: [],
    ramAutoresizing: context.emulatorRecord().orgAutoresizing,
    stuckReason: isStuck ? 'NoReadyHosts' : null,
    rebootPending: null,
  };
  if (isStuck) return { ...accepted, phase: 'placement_pending', reason: 'NoReadyHosts', retryable: true };
  if (sizes.storageGib !== RESERVED_STORAGE_FAILS_GIB) return accepted;
  return {
    ...accepted,
    phase: 'failed',
    reason: 'StorageProvisioningFailed',
    lastError: 'storage could not be provisioned',
  };
}

function resized(context: EmulatorContext, machine: MachineRecord, request: MachineRequest): MachineRecord {
  const sizes = {
    vcpu: request.vcpu ?? machine.vcpu,
    memoryMib: request.memoryMib ?? machine.memoryMib,
    storageGib: request.storageGib ?? machine.storageGib,
  };
  checkCapacity(sizes);
  if (sizes.storageGib < machine.storageGib) throw problem(400, 'storage_gib cannot shrink');
  // The same refusals as any change of what is desired: destroyed and failed machines take none.
  acceptWake({ ...machine, desiredState: machine.desiredState === 'destroyed' ? 'destroyed' : 'running' }, '', null);
  return {
    ...machine,
    ...sizes,
    autosleepSeconds: request.autosleepSeconds ?? machine.autosleepSeconds,
    revision: machine.revision + 1,
    lastProgressAt: context.store.clock.nowIso(),
  };
}

/** A change of the desired state; asking for what is already so changes nothing and answers 200. */
function desired(
  context: EmulatorContext,
  before: MachineRecord,
  accept: (machine: MachineRecord, nowIso: string) => MachineRecord,
): ApiAnswer {
  const machine = accept(before, context.store.clock.nowIso());
  if (machine === before) return answerFor(context, machine);
  return changed(context, machine, desiredNotes(before, machine, 'api'));
}

function changed(context: EmulatorContext, machine: MachineRecord, notes: LedgerNote[]): ApiAnswer {
  return {
    ...answerFor(context, machine),
    change: { machine },
    notes,
    effect: () => context.lifecycle.changed(machine),
  };
}

function answerFor(context: EmulatorContext, machine: MachineRecord): ApiAnswer {
  return {
    status: hasArrived(machine) ? 200 : 202,
    body: machineBody(context.profile, machine, 'mutation'),
    headers: { etag: etag(machine), 'x-dedalus-storage-operation-id': newStorageOperationId() },
  };
}
