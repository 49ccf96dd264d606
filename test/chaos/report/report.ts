/** What a run says in the end: figures, verdicts, and whether it passed. */
import { isKept, type Check } from '../checks/check.js';
import { findUnknown } from '../checks/commands.js';
import type { Evidence, FindingCount } from '../checks/evidence.js';
import { FAULTS, type FaultKind } from '../plan/kinds.js';
import { allStrikes, countHits, unmet, type Hits } from './hits.js';
import { checkRecovery, measureRecovery, type Recovery } from './recovery.js';

/** Zero failures in K trials: with 95 % certainty fewer than 3 in K fail. */
const BOUND_95 = 3;
const VIOLATIONS_SHOWN_MAX = 12;
const FULL_FAULTS = 5_000;
const FULL_HITS = 20;

export interface Report {
  readonly passed: boolean;
  readonly seed: string;
  readonly commit: string;
  readonly turns: number;
  readonly commands: number;
  readonly faults: number;
  readonly effective: number;
  readonly seconds: number;
  readonly hits: readonly Hits[];
  readonly recovery: readonly Recovery[];
  readonly checks: readonly (Check & { readonly kept: boolean })[];
  readonly unknown: readonly {
    readonly command: string;
    readonly outcome: string;
    readonly causes: readonly string[];
  }[];
  readonly missed: readonly string[];
  readonly findings: readonly FindingCount[];
}

export function makeReport(of: {
  evidence: Evidence;
  checks: readonly Check[];
  commit: string;
  startedAtMs: number;
  /** Recovery times are judged, not only told. */
  judgesTimes: boolean;
}): Report {
  const { evidence, checks, commit } = of;
  const strikes = allStrikes(evidence);
  const hits = countHits(evidence, strikes);
  const unhit: Check = {
    name: 'hits',
    promise: 'every kind of fault landed where it does harm',
    looked: hits.length,
    violations: hits
      .filter(({ kind, effective }) => effective < hitsNeeded(kind, evidence.plan.faults))
      .map(
        ({ kind, effective }) => `${kind}: ${effective} effective hits of ${hitsNeeded(kind, evidence.plan.faults)}`,
      ),
  };
  const recovery = measureRecovery(evidence, strikes);
  const timed = of.judgesTimes ? [checkRecovery(recovery)] : [];
  const all = [...checks, ...timed, unhit].map((check) => ({ ...check, kept: isKept(check) }));
  return {
    passed: all.every(({ kept }) => kept),
    seed: evidence.plan.seed,
    commit,
    turns: new Set(evidence.journal.acknowledged.map(({ turnId }) => turnId)).size,
    commands: evidence.calls.length,
    faults: strikes.length,
    effective: hits.reduce((sum, one) => sum + one.effective, 0),
    seconds: Math.round((Date.now() - of.startedAtMs) / 1_000),
    hits,
    recovery,
    checks: all,
    findings: evidence.findings,
    unknown: findUnknown(evidence).map(({ call, causes }) => ({
      command: `${call.turnId} ${call.cmdId}`,
      outcome: `${call.outcome ?? ''} ${call.reason ?? ''}`.trim(),
      causes,
    })),
    missed: [...evidence.journal.missed, ...unmet(evidence, strikes)].map(
      ({ fault, why }) => `${fault.id} ${fault.kind} ${fault.aim.point ?? ''}: ${why}`,
    ),
  };
}

/** One hit of every kind; in a full run, which proves more, twenty of whatever kills, stops or takes away a process or a lane. */
function hitsNeeded(kind: FaultKind, faults: number): number {
  const isProcess = FAULTS[kind].scope !== 'turn' || /^(lane|guest)-/.test(kind);
  return isProcess && faults >= FULL_FAULTS ? FULL_HITS : 1;
}

export function printReport(report: Report): string[] {
  const lost = countViolations(report, 'P1');
  const doubled = countViolations(report, 'P2');
  const leaked = countViolations(report, 'P6');
  const lines = ['', 'fault                 planned  struck  effective      p50      p99      max'];
  for (const { kind, planned, struck, effective } of report.hits) {
    const recovery = report.recovery.find((one) => one.kind === kind);
    const times = recovery === undefined ? '' : [recovery.p50Ms, recovery.p99Ms, recovery.maxMs].map(seconds).join('');
    lines.push(`${kind.padEnd(22)}${column(planned)}${column(struck)}${column(effective, 11)}${times}`);
  }
  if (report.unknown.length > 0) lines.push('', 'unknown and cut short:');
  for (const { command, outcome, causes } of report.unknown) {
    lines.push(`  ${command.padEnd(20)} ${outcome.padEnd(30)} ${causes.join(', ')}`);
  }
  if (report.findings.length > 0) lines.push('', 'found by the reconciler:');
  for (const { kind, action, outcome, count } of report.findings) {
    lines.push(`${column(count)}  ${kind.padEnd(22)} ${action.padEnd(14)} ${outcome}`);
  }
  if (report.missed.length > 0) lines.push('', `not struck: ${report.missed.length}`);
  for (const missed of report.missed) lines.push(`  ${missed}`);
  lines.push('');
  for (const { kept, name, promise, looked, violations } of report.checks) {
    lines.push(`${kept ? 'kept  ' : 'BROKEN'} ${name.padEnd(14)} ${promise} (${looked} looked at)`);
    for (const violation of violations.slice(0, VIOLATIONS_SHOWN_MAX)) lines.push(`         ${violation}`);
    if (violations.length > VIOLATIONS_SHOWN_MAX)
      lines.push(`         and ${violations.length - VIOLATIONS_SHOWN_MAX} more`);
  }
  const unknown = report.unknown.filter(({ outcome }) => outcome.startsWith('unknown'));
  const p99 = Math.max(0, ...report.recovery.map((one) => one.p99Ms));
  lines.push(
    '',
    `seed ${report.seed}, commit ${report.commit}: ${report.turns} turns, ${report.commands} commands, ${report.faults} faults ` +
      `[${report.effective} effective], ${lost} turns lost, ${doubled} double-executed, ${unknown.length} unknown, ${leaked} leaked, ` +
      `p99 recovery ${seconds(p99).trim()} at worst, in ${report.seconds} s`,
    `zero failures in ${report.effective} effective faults: fewer than ${((100 * BOUND_95) / Math.max(1, report.effective)).toFixed(2)} % at 95 %`,
    report.passed ? 'PASSED' : 'FAILED',
  );
  return lines;
}

function countViolations({ checks }: Report, name: string): number {
  return checks.find((check) => check.name === name)?.violations.length ?? 0;
}

const column = (value: number, width = 8): string => String(value).padStart(width);
const seconds = (ms: number): string => `${(ms / 1_000).toFixed(2)} s`.padStart(9);
