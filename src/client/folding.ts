/** Which live text an event makes superfluous. */
import type { TurnEvent } from '../contracts/events.js';
import { ANSWER_PART } from '../store/deltas.js';

/** Name of a part, or of all parts of a turn. */
export function nameOf(turnId: string, step?: number, index?: number): string {
  return JSON.stringify([turnId, step, index]);
}

/** Name of what is complete by this event; undefined: nothing. */
export function foldedBy({ turnId, body }: TurnEvent): string | undefined {
  if (turnId === null) return undefined;
  switch (body.type) {
    case 'step.answered':
      return nameOf(turnId, body.step, ANSWER_PART);
    case 'command.ended':
      return nameOf(turnId, body.step, body.index);
    case 'turn.ended':
      return nameOf(turnId);
    default:
      return undefined;
  }
}
