/** Journal -> record: what Postgres stores of a command that is over (pure). */
import type { CallOutcome } from '../contracts/activities.js';
import type { CommandOutput, CommandStatus } from '../guest/guest.js';
import type { CallResultFields } from '../store/settle.js';

export interface Settlement {
  readonly outcome: CallOutcome;
  /** Why, where the outcome alone does not say it. */
  readonly reason: string | null;
  readonly result: CallResultFields;
  /** For the model and the event log. */
  readonly shown: string;
}

export type Over = Extract<CommandStatus, { kind: 'finished' | 'void' }>;

/** A command whose machine, or boot, is no more: it may have run there, and nothing of it can run any more. */
export const GONE: Over = {
  kind: 'void',
  reason: 'boot_changed',
  output: { totalBytes: 0, head: new Uint8Array(), tail: new Uint8Array() },
};

/** `stoppedAs`: the word for a command that was stopped by us. */
export function settlementOf(status: Over, stoppedAs: 'cancelled' | 'interrupted', shown: string): Settlement {
  if (status.kind === 'void') {
    const { reason, output } = status;
    const outcome = reason === 'stopped_before_start' ? stoppedAs : 'unknown';
    return { outcome, reason, result: fieldsOf(output), shown };
  }
  const { result } = status;
  const { exitCode, signal, outputHash, startedAtMs, endedAtMs } = result;
  return {
    outcome: outcomeOf(result, stoppedAs),
    reason: null,
    result: { exitCode, signal, outputHash, startedAtMs, endedAtMs, ...fieldsOf(result.output) },
    shown,
  };
}

function fieldsOf({ totalBytes, head, tail }: CommandOutput): CallResultFields {
  return { outputBytes: totalBytes, outputHead: head, outputTail: tail };
}

function outcomeOf(
  result: { timedOut: boolean; stopped: boolean; exitCode: number | undefined },
  stoppedAs: 'cancelled' | 'interrupted',
): CallOutcome {
  if (result.stopped) return stoppedAs;
  if (result.timedOut) return 'timed_out';
  return result.exitCode === undefined ? 'signalled' : 'exited';
}
