/** What a lost hold on a machine means for the attempt: the held attachment is let go, and the next attempt attaches anew. */
import { InnkeeperError } from '../contracts/errors.js';
import type { Guests } from './guests.js';

export async function toGuestError(
  error: unknown,
  { guests, workflowId }: { guests: Guests; workflowId: string },
): Promise<unknown> {
  if (!InnkeeperError.is(error)) return error;
  switch (error.code) {
    case 'ATTACHMENT_FENCED':
      await guests.drop(workflowId);
      return new InnkeeperError('GUEST_UNREACHABLE', 'Another worker attached to the machine meanwhile.', {
        cause: error,
      });
    case 'GUEST_UNREACHABLE':
    case 'MACHINE_ASLEEP':
    case 'MACHINE_LOST':
      await guests.drop(workflowId);
      return error;
    default:
      return error;
  }
}
