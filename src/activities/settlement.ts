/** Journal -> record: what Postgres stores of a command that is over (pure). */
import type { CallOutcome, StopWord } from '../contracts/activities.js';
import type { CommandOutput, CommandStatus } from '../guest/guest.js';
import { renderStatus } from '../guest/tools.js';
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

const REPLACED_WORDS =
  '[It is unknown how the command ended: the machine was lost while it ran, and replaced by a new, empty one. It is not run again.]';

/** A command whose machine is no more: it may have run there, and nothing of it can run any more. */
export function settlementOfReplaced(): Settlement {
  return { outcome: 'unknown', reason: 'machine_replaced', result: { outputBytes: 0 }, shown: REPLACED_WORDS };
}

/** True for a command that ended by a stop of ours, or that a stop kept from beginning. */
export function isStopped(status: Over): boolean {
  return status.kind === 'finished' ? status.result.stopped : status.reason === 'stopped_before_start';
}

/** `stoppedAs`: the word for a command that was stopped by us, where none was stored before. */
export function settlementOf(status: Over, stoppedAs: StopWord): Settlement {
  const shown = renderStatus(status);
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

/** True where the machine answered under another boot than the one that the command was submitted to. */
export function isOnLostBoot(status: Over): boolean {
  return status.kind === 'void' && (status.reason === 'boot_changed' || status.reason === 'disk_rolled_back');
}

function fieldsOf({ totalBytes, head, tail }: CommandOutput): CallResultFields {
  return { outputBytes: totalBytes, outputHead: head, outputTail: tail };
}

function outcomeOf(
  result: { timedOut: boolean; stopped: boolean; exitCode: number | undefined },
  stoppedAs: StopWord,
): CallOutcome {
  if (result.stopped) return stoppedAs;
  if (result.timedOut) return 'timed_out';
  return result.exitCode === undefined ? 'signalled' : 'exited';
}
