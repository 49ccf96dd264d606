/**
 * How long users who were struck in mid turn waited until their record went on: from the strike to the next event that is not their own
 * message. Only strikes count while which nothing else struck the same user, or everybody: else one fault would be charged with another.
 */
import type { Check } from '../checks/check.js';
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

/** What happened just before a strike may still be felt. */
const QUIET_BEFORE_MS = 3_000;

const TARGETS_MS: Readonly<Partial<Record<FaultKind, number>>> = {
  'terminal-drop': 2_000,
  'worker-killed': 15_000,
  'postgres-killed': 10_000,
  'temporal-killed': 20_000,
};

export function measureRecovery(evidence: Evidence, strikes: readonly Strike[]): Recovery[] {
  const times = new Map<string, number[]>();
  for (const { userId, atMs } of evidence.events) {
    const own = times.get(userId) ?? [];
    times.set(userId, own);
    own.push(atMs);
  }
  const waitsOf = (strike: Strike): number[] =>
    usersInTurn(evidence, strike).flatMap((userId) => {
      const next = times.get(userId)?.find((at) => at > strike.atMs);
      return next !== undefined && isAlone(strike, userId, next, strikes) ? [next - strike.atMs] : [];
    });
  return FAULT_KINDS.flatMap((kind) => {
    const waits = strikes
      .filter(({ fault, isEffective }) => fault.kind === kind && isEffective === true)
      .flatMap(waitsOf)
      .sort((one, other) => one - other);
    if (waits.length === 0) return [];
    const at = (share: number): number => waits[Math.ceil(share * waits.length) - 1] ?? 0;
    return [{ kind, samples: waits.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: waits.at(-1) ?? 0 }];
  });
}

/** P9. A kind that nobody was struck by alone is not looked at. */
export function checkRecovery(recovery: readonly Recovery[]): Check {
  const measured = recovery.filter(({ kind }) => TARGETS_MS[kind] !== undefined);
  return {
    name: 'P9',
    promise: 'recovery within 2 s of a terminal, 15 s of a worker, 10 s of Postgres, 20 s of Temporal (p99)',
    looked: measured.reduce((sum, { samples }) => sum + samples, 0),
    violations: measured
      .filter(({ kind, p99Ms }) => p99Ms > (TARGETS_MS[kind] ?? Infinity))
      .map(({ kind, p99Ms }) => `${kind}: ${(p99Ms / 1_000).toFixed(2)} s`),
  };
}

function usersInTurn({ turns }: Evidence, { userId, atMs }: Strike): string[] {
  return turns
    .filter(
      (turn) =>
        (userId === undefined || turn.userId === userId) &&
        turn.startedAtMs !== null &&
        turn.startedAtMs <= atMs &&
        (turn.endedAtMs ?? Infinity) > atMs,
    )
    .map((turn) => turn.userId);
}

function isAlone(strike: Strike, userId: string, untilMs: number, strikes: readonly Strike[]): boolean {
  return !strikes.some(
    (other) =>
      other !== strike &&
      // A worker takes everybody's steps with it, whoever's it was that died in.
      (other.fault.kind === 'worker-killed' || (other.userId ?? userId) === userId) &&
      other.atMs <= untilMs &&
      other.untilMs >= strike.atMs - QUIET_BEFORE_MS,
  );
}
