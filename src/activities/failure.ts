/**
 * Error -> failure: the only place that maps errors of activities. The code goes into `type`; the message is prose for the
 * operator. The cause stays out: it may hold text of users, and Temporal keeps what it is given.
 */
import { ApplicationFailure, CancelledFailure } from '@temporalio/activity';
import { ApplicationFailureCategory } from '@temporalio/common';
import { InnkeeperError, type ErrorCode, type ErrorKind } from '../contracts/errors.js';

/** Retrying such a failure cannot help, or the lane itself knows what to do. */
const IS_RETRYABLE: Readonly<Record<ErrorKind, boolean>> = {
  rejected: false,
  transient: true,
  permanent: false,
  ambiguous: true,
  cancelled: false,
  // Waits for a release that mends it.
  bug: true,
};

/** Answered by the lane with another activity, so that the attempt ends at once. */
const FOR_THE_LANE: ReadonlySet<ErrorCode> = new Set(['MACHINE_ASLEEP', 'GUEST_CONFLICT', 'PROVIDER_KEY_REUSED']);

/** Ordinary company of a distributed system: no alarm, no error metric. */
const BENIGN: ReadonlySet<ErrorCode> = new Set([
  'REVISION_CONFLICT',
  'MACHINE_INVALID_STATE',
  'MACHINE_NOT_READY',
  'MACHINE_ASLEEP',
  'PROVIDER_RATE_LIMITED',
  'MODEL_RATE_LIMITED',
  'STALE_LANE',
  'STALE_TRY',
]);

/** The words of models and guests may repeat what users said: they stay in the worker's log, out of Temporal's history. */
const QUOTES_OTHERS: ReadonlySet<ErrorCode> = new Set([
  'MODEL_UNAVAILABLE',
  'MODEL_RATE_LIMITED',
  'MODEL_UNAUTHORIZED',
  'MODEL_REJECTED',
  'GUEST_UNREACHABLE',
  'GUEST_CONFLICT',
]);

/** A conflict is answered by reading again soon; the jitter keeps two writers from meeting again. */
const CONFLICT_DELAY_MS_MIN = 20;
const CONFLICT_DELAY_MS_SPREAD = 80;

/**
 * From this attempt on a Postgres that is away is asked again after so long, whatever the pauses have grown to: those that double would
 * outlast its return by as long as it was away. Jitter spreads the lanes.
 */
const STORE_STEADY_ATTEMPT = 4;
const STORE_DELAY_MS_MIN = 1_000;
const STORE_DELAY_MS_SPREAD = 1_000;

/** Causes behind causes that are logged. */
const LOGGED_CAUSES_MAX = 3;

export interface FailureOptions {
  /** Number of the attempt that failed; the first is 1. */
  readonly attempt?: number;
  /** Ends the retries of an otherwise retryable error. */
  readonly isLast?: boolean;
}

/** What an activity throws to Temporal. Failures and cancellations pass through. */
export function toFailure(error: unknown, options: FailureOptions = {}): Error {
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  if (!InnkeeperError.is(error)) {
    // Its message may hold anything; the worker's log has it whole.
    const name = error instanceof Error ? error.name : 'Error';
    return ApplicationFailure.create({
      type: 'INTERNAL' satisfies ErrorCode,
      message: `${name} (see the worker's log)`,
    });
  }
  return ApplicationFailure.create({
    type: error.code,
    message: QUOTES_OTHERS.has(error.code) ? `${error.advice} (The worker's log has its words.)` : error.message,
    nonRetryable: options.isLast === true || FOR_THE_LANE.has(error.code) || !IS_RETRYABLE[error.kind],
    details: [{ advice: error.advice, ...error.details }],
    ...delayOf(error, options.attempt ?? 1),
    ...(BENIGN.has(error.code) ? { category: ApplicationFailureCategory.BENIGN } : {}),
  });
}

function delayOf(error: InnkeeperError, attempt: number): { nextRetryDelay?: number } {
  if (error.code === 'REVISION_CONFLICT')
    return { nextRetryDelay: between(CONFLICT_DELAY_MS_MIN, CONFLICT_DELAY_MS_SPREAD) };
  if (error.code === 'STORE_UNAVAILABLE' && attempt >= STORE_STEADY_ATTEMPT) {
    return { nextRetryDelay: between(STORE_DELAY_MS_MIN, STORE_DELAY_MS_SPREAD) };
  }
  return error.retryAfterMs === undefined ? {} : { nextRetryDelay: error.retryAfterMs };
}

function between(ms: number, spreadMs: number): number {
  return ms + Math.floor(Math.random() * spreadMs);
}

/** Of an attempt that may have a successor. Where it has none after all, it is repeated. */
export function frozenFailure(): ApplicationFailure {
  return ApplicationFailure.create({
    type: 'STALE_TRY' satisfies ErrorCode,
    message: 'This attempt was frozen for longer than its heartbeat timeout: another one may have begun.',
    category: ApplicationFailureCategory.BENIGN,
  });
}

/** What the log is given of an error. Not the error itself: Postgres's carry whole rows in their details, prompts included. */
export function toLogged(error: unknown, depth = 0): object {
  if (!(error instanceof Error)) return { type: typeof error };
  const { name: type, message, stack } = error;
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  const details = InnkeeperError.is(error) && error.details !== undefined ? { details: error.details } : {};
  const cause =
    error.cause === undefined || depth >= LOGGED_CAUSES_MAX ? {} : { cause: toLogged(error.cause, depth + 1) };
  return { type, message, ...code, ...details, ...(InnkeeperError.is(error) ? {} : { stack }), ...cause };
}
