/** Reads the code out of what an activity threw, as the workflow sees it. */
import { ActivityFailure, ApplicationFailure, isCancellation, TimeoutFailure } from '@temporalio/workflow';
import type { ErrorCode } from '../contracts/errors.js';
import { isErrorCode } from '../contracts/errors.js';

/** The error code of a failed activity; CANCELLED for a cancellation, INTERNAL for what carries none. */
export function codeOf(error: unknown): ErrorCode {
  if (isCancellation(error)) return 'CANCELLED';
  const cause = error instanceof ActivityFailure ? error.cause : error;
  if (cause instanceof ApplicationFailure && isErrorCode(cause.type)) return cause.type;
  // A timeout keeps the last attempt's failure as its cause: that says more than the timeout.
  if (cause instanceof TimeoutFailure && cause.cause !== undefined) return codeOf(cause.cause);
  return 'INTERNAL';
}

/** True where the activity itself said that repeating cannot help. */
export function isPermanent(error: unknown): boolean {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  return cause instanceof ApplicationFailure && cause.nonRetryable === true;
}
