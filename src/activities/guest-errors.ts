/** What an attempt makes of a channel that another worker took over. */
import { InnkeeperError } from '../contracts/errors.js';

/** The next attempt attaches anew, and need not wait: nothing is wrong with the machine. */
const FENCED_RETRY_MS = 20;

export function toGuestError(error: unknown): unknown {
  if (!InnkeeperError.is(error) || error.code !== 'ATTACHMENT_FENCED') return error;
  return new InnkeeperError('GUEST_UNREACHABLE', 'Another worker attached to the machine meanwhile.', {
    cause: error,
    retryAfterMs: FENCED_RETRY_MS,
  });
}
