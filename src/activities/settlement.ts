/** Journal -> record: what Postgres stores of a command that is over (pure). */
import type { CallOutcome } from '../contracts/activities.js';
import type { CommandStatus } from '../guest/guest.js';

export interface Settlement {
  readonly outcome: CallOutcome;
  /** Why, where the outcome alone does not say it. */
  readonly reason: string | null;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly outputBytes: number;
  readonly outputHead: Uint8Array;
  readonly outputTail: Uint8Array;
  readonly outputHash: string | null;
  readonly guestStartedAtMs: number | null;
  readonly guestEndedAtMs: number | null;
  /** For the model and the event log. */
  readonly shown: string;
}

export type Over = Extract<CommandStatus, { kind: 'finished' | 'void' }>;

/** `stoppedAs`: the word for a command that was stopped by us. */
export function settlementOf(status: CommandStatus, stoppedAs: 'cancelled' | 'interrupted', shown: string): Settlement {
  if (status.kind === 'void') {
    const { output } = status;
    return {
      outcome: status.reason === 'stopped_before_start' ? stoppedAs : 'unknown',
      reason: status.reason,
      exitCode: null,
      signal: null,
      outputBytes: output.totalBytes,
      outputHead: output.head,
      outputTail: output.tail,
      outputHash: null,
      guestStartedAtMs: null,
      guestEndedAtMs: null,
      shown,
    };
  }
  if (status.kind !== 'finished') throw new Error('a command that is not over has no settlement');
  const { result } = status;
  return {
    outcome: outcomeOf(result, stoppedAs),
    reason: null,
    exitCode: result.exitCode ?? null,
    signal: result.signal ?? null,
    outputBytes: result.output.totalBytes,
    outputHead: result.output.head,
    outputTail: result.output.tail,
    outputHash: result.outputHash,
    guestStartedAtMs: result.startedAtMs,
    guestEndedAtMs: result.endedAtMs,
    shown,
  };
}

function outcomeOf(
  result: { timedOut: boolean; stopped: boolean; exitCode: number | undefined },
  stoppedAs: 'cancelled' | 'interrupted',
): CallOutcome {
  if (result.stopped) return stoppedAs;
  if (result.timedOut) return 'timed_out';
  return result.exitCode === undefined ? 'signalled' : 'exited';
}
