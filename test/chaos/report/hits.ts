/**
 * Which faults struck, and which of them landed inside a window where they do harm (effective hits): a fault of the wire when it met a
 * request or frame on its way; a killed worker in an activity, at its place; a server when a turn was in flight; a lane, a guest or a
 * machine while a command ran; a model's failure when a step needed another try.
 */
import type { Evidence } from '../checks/evidence.js';
import type { Strike } from '../journal.js';
import { FAULT_KINDS, type FaultKind } from '../plan/kinds.js';
import { turnsOf } from '../plan/expectation.js';
import type { PlannedFault } from '../plan/plan.js';
import { isWireFault } from '../strike/wire-faults.js';

export interface Hits {
  readonly kind: FaultKind;
  readonly planned: number;
  readonly struck: number;
  readonly effective: number;
}

/** Every strike with its verdict, those of the wire by the provider's ledger. */
export function allStrikes(evidence: Evidence): Strike[] {
  return [...evidence.journal.strikes.map((strike) => judged(strike, evidence)), ...wireStrikes(evidence)];
}

export function countHits({ plan }: Evidence, strikes: readonly Strike[]): Hits[] {
  const planned = [
    ...plan.serverFaults,
    ...plan.workerPoints,
    ...plan.people.flatMap((user) => turnsOf(user).flatMap((turn) => turn.faults)),
  ];
  return FAULT_KINDS.filter((kind) => plan.kinds.includes(kind)).map((kind) => {
    const of = strikes.filter(({ fault }) => fault.kind === kind);
    return {
      kind,
      planned: planned.filter((fault) => fault.kind === kind).length,
      struck: of.length,
      effective: of.filter(({ isEffective }) => isEffective === true).length,
    };
  });
}

function judged(strike: Strike, { turns, calls }: Evidence): Strike {
  if (strike.isEffective !== undefined) return strike;
  const inFlight = turns.filter(
    ({ startedAtMs, endedAtMs }) =>
      startedAtMs !== null && startedAtMs <= strike.untilMs && (endedAtMs ?? Infinity) >= strike.atMs,
  );
  const { kind } = strike.fault;
  if (strike.turnId !== undefined) {
    const repeats = turns.find(({ turnId }) => turnId === strike.turnId)?.repeats ?? 0;
    const invalid = calls.some(({ turnId, outcome }) => turnId === strike.turnId && outcome === 'invalid');
    return { ...strike, isEffective: repeats > 0 || invalid };
  }
  if (kind === 'worker-frozen') return { ...strike, isEffective: inFlight.some(({ repeats }) => repeats > 0) };
  return { ...strike, isEffective: inFlight.length > 0 };
}

/** Faults of the wire that waited for a request or frame that never came. */
export function unmet({ plan, journal }: Evidence, strikes: readonly Strike[]): { fault: PlannedFault; why: string }[] {
  const done = new Set([...strikes, ...journal.missed].map(({ fault }) => fault.id));
  const faults = plan.people.flatMap((user) => user.turns.flatMap((turn) => turn.faults.filter(isWireFault)));
  return faults
    .filter(({ id }) => !done.has(id))
    .map((fault) => ({ fault, why: 'nothing of its kind was on its way' }));
}

/** `fault.added` names the plan's fault in its message; `fault.hit` refers to it by a number that a restart begins anew. */
function wireStrikes({ plan, ledger, machines }: Evidence): Strike[] {
  const faults = new Map<string, { fault: PlannedFault; userId: string; turnId: string }>();
  for (const user of plan.people) {
    for (const turn of user.turns) {
      for (const fault of turn.faults.filter(isWireFault)) {
        faults.set(fault.id, { fault, userId: user.userId, turnId: turn.turnId });
      }
    }
  }
  const owners = new Map(machines.map(({ machineId, userId }) => [machineId, userId]));
  const strikes = new Map<string, Strike>();
  let names = new Map<unknown, string>();
  for (const entry of ledger) {
    if (entry.kind === 'emulator.started') names = new Map();
    if (entry.kind === 'fault.added') names.set(entry['id'], String(entry['message']));
    const name = entry.kind === 'fault.hit' ? (names.get(entry['faultId']) ?? '') : '';
    const planned = faults.get(name);
    if (planned === undefined || strikes.has(name)) continue;
    const atMs = Date.parse(entry.wallAt);
    const userId = owners.get(entry.machineId ?? '') ?? planned.userId;
    strikes.set(name, { ...planned, userId, atMs, untilMs: atMs, isEffective: true });
  }
  return [...strikes.values()];
}
