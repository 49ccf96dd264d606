/** P5 to P7, from the provider's ledger: one live machine a user at every instant, none leaked, no stale write taken. */
import type { LedgerEntry } from '../../../src/story/record/provider-record.js';
import type { Check } from './check.js';
import { ownersOf, type Evidence } from './evidence.js';

const ENDED = new Set<unknown>(['destroying', 'destroyed', 'failed']);

export function checkOneMachine({ ledger, machines }: Evidence): Check {
  const violations: string[] = [];
  const owners = ownersOf(machines);
  const alive = new Map<string, Set<string>>();
  let looked = 0;
  for (const entry of ledger) {
    const { machineId = '' } = entry;
    const userId = owners.get(machineId);
    if (userId === undefined) continue; // Nobody's: P6 speaks of it.
    const own = alive.get(userId) ?? new Set<string>();
    alive.set(userId, own);
    if (entry.kind === 'machine.created') {
      looked += 1;
      own.add(machineId);
      if (own.size > 1)
        violations.push(`${userId} has ${own.size} live machines at ${entry.at}: ${[...own].join(' ')}`);
    }
    const isGivenUp = entry.kind === 'machine.desired' && entry['desiredState'] === 'destroyed';
    if (isGivenUp || (entry.kind === 'machine.phase' && ENDED.has(entry['to']))) own.delete(machineId);
  }
  return { name: 'P5', promise: 'at most one live machine a user at every instant', looked, violations };
}

/** A machine that was made twice is a leak even where the reconciler has destroyed it since. */
export function checkNoLeak({ ledger, provider, machines }: Evidence): Check {
  const violations: string[] = [];
  const known = new Map(machines.map((row) => [row.machineId, row]));
  const created = ledger.filter(({ kind }) => kind === 'machine.created').map(({ machineId = '' }) => machineId);
  for (const machineId of created) {
    if (!known.has(machineId)) violations.push(`machine ${machineId} was made, and no row ever named it`);
  }
  for (const { machineId, phase } of provider) {
    if (phase === 'destroyed') continue;
    const row = known.get(machineId);
    if (row === undefined) violations.push(`machine ${machineId} is ${phase} and nobody's`);
    else if (row.phase === 'destroyed')
      violations.push(`machine ${machineId} of ${row.userId} is ${phase}, its row destroyed`);
  }
  const alive = new Set(provider.filter(({ phase }) => phase !== 'destroyed').map(({ machineId }) => machineId));
  for (const { userId, machineId, phase } of machines) {
    const isSettled = phase === 'ready' || phase === 'asleep';
    if (isSettled && !alive.has(machineId ?? ''))
      violations.push(`the machine of ${userId} is ${phase} and does not exist`);
  }
  return { name: 'P6', promise: 'no machine is leaked', looked: created.length, violations };
}

const FENCED = new Set<unknown>(['machines.sleep', 'machines.wake', 'machines.delete', 'machines.update']);

/** Revisions only grow, and each change was made on the revision that it was asked for. */
export function checkRevisions({ ledger }: Evidence): Check {
  const violations: string[] = [];
  const revisions = new Map<string, number>();
  /** Changes by the API whose call has not been noted yet, which is done as it is answered: its If-Match must be the revision before. */
  const changes = new Map<string, Set<number>>();
  let looked = 0;
  for (const entry of ledger) {
    const { machineId = '' } = entry;
    if (typeof entry['revision'] === 'number') {
      const { revision } = entry as { revision: number } & LedgerEntry;
      const before = revisions.get(machineId) ?? 0;
      if (revision < before) violations.push(`${machineId} went back from revision ${before} to ${revision}`);
      revisions.set(machineId, revision);
      if (entry.kind === 'machine.desired' && entry['cause'] === 'api') {
        changes.set(machineId, (changes.get(machineId) ?? new Set()).add(revision));
      }
    }
    // A killed emulator forgets which calls were under way.
    if (entry.kind === 'emulator.started') changes.clear();
    const ifMatch = entry['ifMatch'];
    if (entry.kind !== 'api' || !FENCED.has(entry['route']) || typeof ifMatch !== 'string') continue;
    changes.get(machineId)?.delete(Number(ifMatch.replaceAll(/\D/g, '')) + 1);
    const isTaken = entry['status'] === 200 || entry['status'] === 202;
    if (isTaken && entry['replayed'] !== true) looked += 1;
  }
  for (const [machineId, left] of changes) {
    for (const revision of left)
      violations.push(`${machineId}: nobody asked at ${revision - 1} for revision ${revision}`);
  }
  return { name: 'P7', promise: 'no stale write is taken, revisions never go back', looked, violations };
}
