/**
 * How long users who were struck in mid turn waited until their record went on: from the strike to the next event that is not their
 * own message. Other faults may strike meanwhile, so these are upper bounds.
 */
import type { Evidence } from '../checks/evidence.js';
import type { Strike } from '../journal.js';
import { FAULT_KINDS, type FaultKind } from '../plan/kinds.js';

export interface Recovery {
  readonly kind: FaultKind;
  readonly samples: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export function measureRecovery(evidence: Evidence, strikes: readonly Strike[]): Recovery[] {
  const { turns, events } = evidence;
  const times = new Map<string, number[]>();
  for (const { userId, atMs } of events) times.set(userId, [...(times.get(userId) ?? []), atMs]);
  return FAULT_KINDS.flatMap((kind) => {
    const waits = strikes
      .filter(({ fault, isEffective }) => fault.kind === kind && isEffective === true)
      .flatMap(({ userId, atMs }) => {
        const struck = turns.filter(
          (turn) =>
            (userId === undefined || turn.userId === userId) &&
            turn.startedAtMs !== null &&
            turn.startedAtMs <= atMs &&
            (turn.endedAtMs ?? Infinity) > atMs,
        );
        return struck.flatMap((turn) => {
          const next = times.get(turn.userId)?.find((at) => at > atMs);
          return next === undefined ? [] : [next - atMs];
        });
      })
      .sort((one, other) => one - other);
    if (waits.length === 0) return [];
    const at = (share: number): number => waits[Math.min(waits.length - 1, Math.ceil(share * waits.length) - 1)] ?? 0;
    return [{ kind, samples: waits.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: waits.at(-1) ?? 0 }];
  });
}
