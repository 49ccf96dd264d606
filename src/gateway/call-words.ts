/** Tool calls as protocols that have a word for them are told of one: its id, its arguments, its end. */
import type { CallOutcome } from '../contracts/activities.js';
import type { EventCall } from '../contracts/events.js';

/** No turn's id has a "/": nothing else of a conversation is called so. */
export function callIdOf(call: { readonly turnId: string; readonly step: number; readonly index: number }): string {
  return `${call.turnId}/${call.step}/${call.index}`;
}

/** Arguments as far as the event log keeps them: a command's first 120 characters on one line, or a file's path. */
export function argumentsOf({ tool, title }: Pick<EventCall, 'tool' | 'title'>): Readonly<Record<string, string>> {
  // A call that was not understood is called by its tool.
  if (title === tool) return {};
  return tool === 'bash' ? { command: title } : { path: title.replace(/^(?:read|write) /, '') };
}

/** What is told of a call whose turn ended before it began. */
export const NOT_RUN = 'The turn ended before this was run.';
/** What is told of a call that was seen coming, and that the model did not make when it was asked again. */
export const NOT_MADE = 'The model began its answer anew, without this.';

/** Outcomes of commands that came to their end; what is shown of the others says why they did not. */
const ENDED = new Set<CallOutcome>(['exited', 'signalled', 'timed_out']);
export const hasEnded = (outcome: CallOutcome): boolean => ENDED.has(outcome);
