/** P2 to P4: a command runs at most once, its reported result is the recorded one, and what is unknown is said, with a cause. */
import type { LedgerEntry } from '../../../src/story/record/provider-record.js';
import { FAULTS, type FaultKind } from '../plan/kinds.js';
import type { ExpectedCommand } from '../plan/expectation.js';
import type { Check } from './check.js';
import { ownersOf, type CallRow, type Evidence } from './evidence.js';

/** A kill is noted a moment after it, and a machine that is lost is found out later. */
const CAUSE_MARGIN_MS = 1_500;

/** Lines of side effects of each command, the same line of two copies of one home counted once. */
function runsOf({ homes }: Evidence): Map<string, Set<string>> {
  const runs = new Map<string, Set<string>>();
  for (const line of homes.flatMap((home) => home.effects)) {
    const [id = '', run = ''] = line.split(' ');
    runs.set(id, (runs.get(id) ?? new Set()).add(run));
  }
  return runs;
}

/** The planned command that a tool call carries out. */
export function commandOf({ expected }: Evidence, call: CallRow): ExpectedCommand | undefined {
  return expected.get(call.turnId)?.commands.find(({ id }) => call.argumentsJson.includes(`${id} $EPOCHREALTIME`));
}

export function checkRunsOnce(evidence: Evidence): Check {
  const violations: string[] = [];
  const runs = runsOf(evidence);
  for (const [id, lines] of runs) if (lines.size > 1) violations.push(`${id} ran ${lines.size} times`);
  for (const { journal } of evidence.homes) {
    for (const { cmdId, starts } of journal) if (starts > 1) violations.push(`${cmdId} was started ${starts} times`);
  }
  for (const call of evidence.calls) {
    const command = commandOf(evidence, call);
    if (command !== undefined && call.outcome === 'exited' && !runs.has(command.id)) {
      violations.push(`${command.id} is said to have exited and left no trace`);
    }
  }
  const looked = evidence.calls.length;
  return { name: 'P2', promise: 'a command id runs at most once', looked, violations };
}

export function checkResults(evidence: Evidence): Check {
  const violations: string[] = [];
  const recorded = new Map(evidence.homes.flatMap((home) => home.journal.map((one) => [one.cmdId, one] as const)));
  for (const { journal } of evidence.homes) {
    for (const one of journal) if (one.endedAtMs !== null) recorded.set(one.cmdId, one);
  }
  const exited = evidence.calls.filter(({ outcome }) => outcome === 'exited');
  for (const call of exited) {
    const { cmdId, exitCode, outputHash } = call;
    const guest = recorded.get(cmdId);
    if (guest?.exitCode !== exitCode || guest.outputHash !== outputHash) {
      violations.push(
        `${cmdId}: reported ${exitCode} ${outputHash}, the guest has ${guest?.exitCode} ${guest?.outputHash}`,
      );
    }
    const command = commandOf(evidence, call);
    if (command === undefined) continue; // A malformed call of the model's has no command.
    if (command.exitCode !== exitCode || command.outputHash !== outputHash) {
      violations.push(`${command.id}: reported ${exitCode} ${outputHash}, it must be ${command.exitCode}`);
    }
  }
  return { name: 'P3', promise: 'the reported result is the recorded one', looked: exited.length, violations };
}

export interface Unknown {
  readonly call: CallRow;
  /** Faults that explain it. */
  readonly causes: readonly FaultKind[];
}

/** No command of a plan ends by itself like this. */
const CUT_SHORT = new Set(['unknown', 'interrupted', 'signalled', 'timed_out']);

/** Calls whose outcome nobody knows or that were cut short, each with the faults that struck its guest or lane meanwhile. */
export function findUnknown({ calls, journal, ledger, machines }: Evidence): Unknown[] {
  const hits = ledger.filter((entry) => entry.kind === 'fault.hit' && entry['fault'] === 'runtime-wake-failed');
  // A killed emulator answers before its guests are up again: a guest's boot shows until when it was cut down.
  const boots = ledger.filter((entry) => entry.kind === 'machine.boot' && entry['cause'] === 'host restarted');
  const owners = ownersOf(machines);
  return calls
    .filter(({ outcome }) => CUT_SHORT.has(outcome ?? ''))
    .map((call) => {
      const from = (call.submittedAtMs ?? 0) - CAUSE_MARGIN_MS;
      const until = (call.settledAtMs ?? Infinity) + CAUSE_MARGIN_MS;
      const struck = journal.strikes.filter(({ fault, userId, atMs, untilMs }) => {
        const { breaksGuest, breaksLane } = FAULTS[fault.kind];
        const explains = breaksGuest === true || (breaksLane === true && call.outcome === 'interrupted');
        return explains && (userId ?? call.userId) === call.userId && atMs <= until && untilMs >= from;
      });
      const isMeanwhile = ({ wallAt }: LedgerEntry): boolean =>
        Date.parse(wallAt) >= from && Date.parse(wallAt) <= until;
      const woken = hits.filter(isMeanwhile);
      const booted = boots.filter((boot) => owners.get(boot.machineId ?? '') === call.userId && isMeanwhile(boot));
      const causes = [
        ...struck.map(({ fault }) => fault.kind),
        ...woken.map(() => 'wake-failed' as const),
        ...booted.map(() => 'emulator-killed' as const),
      ];
      return { call, causes: [...new Set(causes)] };
    });
}

export function checkUnknown(evidence: Evidence): Check {
  const unknown = findUnknown(evidence);
  const violations = unknown
    .filter(({ causes }) => causes.length === 0)
    .map(
      ({ call }) => `${call.cmdId} of ${call.turnId} is ${call.outcome} (${call.reason ?? ''}) and nothing struck it`,
    );
  for (const { cmdId, turnId, outcome, submittedAtMs } of evidence.calls) {
    if (outcome === null && submittedAtMs !== null)
      violations.push(`${cmdId} of ${turnId} was submitted and has no outcome`);
  }
  const promise = 'unknown or cut short is said where the guest or its lane was cut down, and only there';
  return { name: 'P4', promise, looked: evidence.calls.length, violations };
}

/** From the guests' journals: one command at a time, at every instant. */
export function checkOneAtATime({ homes }: Evidence): Check {
  const violations: string[] = [];
  let looked = 0;
  for (const home of homes) {
    home.journal.forEach((command, index) => {
      looked += 1;
      const before = home.journal[index - 1];
      if (before?.endedAtMs !== undefined && before.endedAtMs !== null && before.endedAtMs > command.startedAtMs) {
        violations.push(`${home.userId}: ${command.cmdId} began before ${before.cmdId} had ended`);
      }
    });
  }
  return { name: 'one at a time', promise: 'at most one command of a user at every instant', looked, violations };
}
