/** A machine's life as pure functions: what a request or the passing of time makes of a record. */
import type { DesiredState, MachineRecord, Phase } from '../state/records.js';
import { invalidState } from '../wire/errors.js';

const AWAKE_INTERVALS_KEPT_MAX = 2_000;

const REASONS: Readonly<Record<Phase, string>> = {
  accepted: 'Accepted',
  placement_pending: 'PlacementPending',
  starting: 'Starting',
  running: 'DesiredStateReached',
  stopping: 'Stopping',
  sleeping: 'DesiredStateReached',
  destroying: 'Destroying',
  destroyed: 'DesiredStateReached',
  failed: 'RuntimeWakeFailed',
};

export interface PhaseChange {
  reason?: string;
  lastError?: string | null;
}

/** Moves a record into a phase, keeping the awake intervals true. */
export function withPhase(
  machine: MachineRecord,
  phase: Phase,
  nowIso: string,
  change: PhaseChange = {},
): MachineRecord {
  let awake = machine.awake;
  const open = awake.at(-1);
  const isOpen = open !== undefined && open.endedAt === null;
  if (phase === 'running' && !isOpen) awake = [...awake, { startedAt: nowIso, endedAt: null }];
  if (isOpen && (phase === 'sleeping' || phase === 'destroying' || phase === 'destroyed' || phase === 'failed')) {
    awake = [...awake.slice(0, -1), { startedAt: open.startedAt, endedAt: nowIso }];
  }
  return {
    ...machine,
    phase,
    awake: awake.slice(-AWAKE_INTERVALS_KEPT_MAX),
    reason: change.reason ?? REASONS[phase],
    retryable: phase === 'placement_pending' && change.reason !== undefined,
    lastError: change.lastError ?? (phase === 'failed' ? machine.lastError : null),
    lastTransitionAt: nowIso,
    lastProgressAt: nowIso,
  };
}

/** The next phase on the way to what is desired; null where the machine has arrived, or cannot go on. */
export function nextPhase(machine: MachineRecord): Phase | null {
  const { phase, desiredState } = machine;
  if (phase === 'destroyed') return null;
  if (desiredState === 'destroyed') return phase === 'destroying' ? 'destroyed' : 'destroying';
  if (phase === 'running') {
    if (desiredState === 'sleeping') return 'stopping';
    return machine.rebootPending ? 'starting' : null;
  }
  if (phase === 'sleeping') return desiredState === 'running' ? 'starting' : null;
  const onward: Partial<Record<Phase, Phase>> = {
    accepted: 'placement_pending',
    placement_pending: 'starting',
    starting: 'running',
    stopping: 'sleeping',
  };
  if (phase === 'placement_pending' && machine.stuckReason !== null) return null;
  return onward[phase] ?? null;
}

export function hasArrived(machine: MachineRecord): boolean {
  return machine.phase === 'failed' || (machine.phase === machine.desiredState && machine.rebootPending === null);
}

function conflict(machine: MachineRecord, target: DesiredState, expected: string): Error {
  return invalidState(`machine cannot go from ${machine.phase} to ${target}`, {
    currentDesired: machine.desiredState,
    currentObserved: machine.phase,
    expectedObserved: expected,
    targetDesired: target,
  });
}

function refuseUnlessAlive(machine: MachineRecord, target: DesiredState): void {
  if (machine.desiredState === 'destroyed') throw conflict(machine, target, 'running or sleeping');
  if (machine.phase === 'failed') throw conflict(machine, target, target === 'running' ? 'sleeping' : 'running');
}

/** @returns the changed record, or the same one where nothing is to be done */
export function acceptWake(machine: MachineRecord, nowIso: string, stuckReason: string | null): MachineRecord {
  refuseUnlessAlive(machine, 'running');
  if (machine.desiredState === 'running') return machine;
  const desired = { ...machine, desiredState: 'running' as const, revision: machine.revision + 1, stuckReason };
  if (machine.phase !== 'sleeping') return desired;
  if (stuckReason !== null) return withPhase(desired, 'placement_pending', nowIso, { reason: stuckReason });
  return withPhase(desired, 'starting', nowIso);
}

export function acceptSleep(machine: MachineRecord, nowIso: string): MachineRecord {
  refuseUnlessAlive(machine, 'sleeping');
  if (machine.desiredState === 'sleeping') return machine;
  const desired = { ...machine, desiredState: 'sleeping' as const, revision: machine.revision + 1 };
  return machine.phase === 'running' ? withPhase(desired, 'stopping', nowIso) : desired;
}

export function acceptDestroy(machine: MachineRecord, nowIso: string): MachineRecord {
  if (machine.desiredState === 'destroyed') return machine;
  const desired = { ...machine, desiredState: 'destroyed' as const, revision: machine.revision + 1, stuckReason: null };
  return withPhase(desired, 'destroying', nowIso);
}

export function acceptReboot(machine: MachineRecord, nowIso: string, isForced: boolean): MachineRecord {
  refuseUnlessAlive(machine, 'running');
  if (machine.phase !== 'running' || machine.desiredState !== 'running') throw conflict(machine, 'running', 'running');
  const pending = { ...machine, rebootPending: isForced ? ('forced' as const) : ('graceful' as const) };
  return withPhase({ ...pending, revision: machine.revision + 1 }, 'starting', nowIso, { reason: 'Rebooting' });
}
