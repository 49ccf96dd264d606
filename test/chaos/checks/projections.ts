/** What clients of other protocols had in the end, over every break, is what the record has: how turns and commands ended, and what was said. */
import type { HeardCall } from '../load/mcp-caller.js';
import type { HeardTurn, ProjectionFollowers } from '../load/projection-followers.js';
import { endsOf } from '../load/protocols/protocol.js';
import type { Check } from './check.js';
import type { CallRow, Evidence, TurnRow } from './evidence.js';

export function checkProjections(
  { turns, calls }: Evidence,
  followers: Pick<ProjectionFollowers, 'heard' | 'faults'>,
  heardCalls: readonly HeardCall[],
): Check {
  const rows = new Map(turns.map((row) => [row.turnId, row]));
  const callsOf = (turnId: string): CallRow[] => calls.filter((call) => call.turnId === turnId);
  const violations = [
    ...followers.faults,
    ...followers.heard.flatMap((heard) =>
      compare(heard, rows.get(heard.turnId), callsOf(heard.turnId)).map(
        (what) => `${heard.turnId} by ${heard.protocol}: ${what}`,
      ),
    ),
    ...heardCalls.flatMap((heard) =>
      compareCall(heard, rows.get(heard.turnId), callsOf(heard.turnId)).map(
        (what) => `${heard.turnId} by MCP: ${what}`,
      ),
    ),
  ];
  const promise = 'every protocol’s client has in the end what the record has';
  return { name: 'projections', promise, looked: followers.heard.length + heardCalls.length, violations };
}

function compare(heard: HeardTurn, row: TurnRow | undefined, calls: readonly CallRow[]): string[] {
  if (row === undefined) return ['it is not in the record'];
  const found: string[] = [];
  if (heard.state !== row.state) found.push(`it was told ${heard.state} and is ${row.state}`);
  const [told, recorded] = [heard.ends, endsOf(calls)];
  for (const place of new Set([...told.keys(), ...recorded.keys()])) {
    if (told.get(place) === recorded.get(place)) continue;
    found.push(`command ${place} was told ${told.get(place)} and is ${recorded.get(place)}`);
  }
  if (row.state !== 'completed') return found;
  const { text, keepsVoid, pieces } = heard;
  const isVoidIn = keepsVoid && row.modelRepeats > 0;
  // What began anew follows what is void of the same step, and all after it is as it must be.
  const isSaid = isVoidIn ? text.endsWith(row.answer ?? '') : text === row.said;
  if (!isSaid) found.push(`it was told ${JSON.stringify(text)}, said was ${JSON.stringify(row.said)}`);
  // Where the model was asked anew while the reader was away, pieces may not fit those heard before (docs/clients.md).
  if (pieces !== undefined && pieces !== text && row.modelRepeats === 0) found.push('its pieces are not its text');
  return found;
}

function compareCall(heard: HeardCall, row: TurnRow | undefined, calls: readonly CallRow[]): string[] {
  const [call] = calls;
  const told = `${heard.state}: ${heard.outcome} ${heard.exitCode}`;
  const recorded = `${row?.state}: ${call?.outcome ?? null} ${call?.exitCode ?? null}`;
  return told === recorded ? [] : [`it was told ${told} and is ${recorded}`];
}
