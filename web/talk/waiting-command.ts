/** What the agent waits to run. */
import { runningTurn, type Talk } from './talk.js';

/** Title of the running turn's command that was asked for and has not begun; undefined: there is none. */
export function waitingCommand(talk: Talk | null): string | undefined {
  const turnId = talk === null ? undefined : runningTurn(talk);
  const calls = talk?.entries.findLast((entry) => entry.turnId === turnId && entry.calls.length > 0)?.calls ?? [];
  if (turnId === undefined || calls.some(({ startedAt, outcome }) => startedAt !== null && outcome === null)) {
    return undefined;
  }
  return calls.find(({ startedAt, outcome }) => startedAt === null && outcome === null)?.title;
}
