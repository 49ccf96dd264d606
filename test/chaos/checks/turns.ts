/** P1: an acknowledged message is never lost or doubled. */
import type { Check } from './check.js';
import type { Evidence } from './evidence.js';

const OVER = new Set(['completed', 'failed', 'cancelled']);

export function checkTurns({ journal, turns, expected }: Evidence): Check {
  const violations: string[] = [...journal.complaints];
  const rows = new Map(turns.map((row) => [row.turnId, row]));
  const ids = new Set(journal.acknowledged.map(({ turnId }) => turnId));
  for (const turnId of ids) {
    const row = rows.get(turnId);
    if (row === undefined) {
      violations.push(`${turnId} was acknowledged and is lost`);
      continue;
    }
    const { state, errorCode, ends, messages } = row;
    if (!OVER.has(state)) violations.push(`${turnId} is ${state} for ever`);
    if (ends !== 1) violations.push(`${turnId} ended ${ends} times`);
    if (messages !== (row.startedAtMs === null ? 0 : 1)) violations.push(`${turnId} was said ${messages} times`);
    if (!allowed(turnId).includes(state)) violations.push(`${turnId} ended ${state} ${errorCode ?? ''}`);
  }
  for (const { turnId, userId } of turns)
    if (expected.get(turnId)?.userId !== userId) violations.push(`${turnId} was never submitted for ${userId}`);
  for (const turnId of expected.keys()) if (!ids.has(turnId)) violations.push(`${turnId} was never acknowledged`);
  return { name: 'P1', promise: 'an acknowledged message is never lost or doubled', looked: ids.size, violations };

  /** Every planned turn is answered, whatever strikes it, but for those that are cancelled. */
  function allowed(turnId: string): string[] {
    const faults = expected.get(turnId)?.turn.faults ?? [];
    return faults.some(({ kind }) => kind === 'turn-cancelled') ? ['cancelled', 'completed'] : ['completed'];
  }
}
