/** The conversation as the model is given it: the user's latest turns, read within bounds. */
import { InnkeeperError } from '../contracts/errors.js';
import { statement, type Queryable } from './sql.js';

export type TranscriptEntry =
  | { readonly kind: 'user'; readonly text: string }
  | { readonly kind: 'assistant'; readonly text: string; readonly toolCalls: readonly TranscriptToolCall[] }
  | { readonly kind: 'tool'; readonly toolCallId: string; readonly text: string }
  | { readonly kind: 'note'; readonly text: string };

export interface TranscriptToolCall {
  readonly id: string;
  readonly name: string;
  readonly argumentsJson: string;
}

export interface TranscriptTurn {
  readonly turnId: string;
  readonly entries: readonly TranscriptEntry[];
}

/** What the model is told of a call that has nothing to show. */
const NEVER_RAN = '(not run: the turn ended first)';
const NO_OUTCOME = '(its outcome is not known: the turn ended first)';

// Sizes first: text is read only of the turns that fit. The turn itself is always among them.
const selectRecent = statement(
  'select_recent_turns',
  `with this as (
     select user_id, position from turns where turn_key = $1::bigint
   ), recent as (
     select t.turn_key, t.turn_id, t.position
     from turns t, this where t.user_id = this.user_id and t.position <= this.position and t.started_at is not null
     order by t.position desc limit $2
   ), sized as (
     select r.*,
       (select coalesce(sum(octet_length(text)), 0) from transcript e where e.turn_key = r.turn_key)
       + (select coalesce(sum(octet_length(arguments_json) + coalesce(octet_length(shown), 0)), 0)
          from tool_calls c where c.turn_key = r.turn_key) as bytes
     from recent r
   ), counted as (
     select turn_key, turn_id, position, sum(bytes) over (order by position desc) as bytes_from_here from sized
   )
   select turn_key::text, turn_id from counted, this
   where bytes_from_here <= $3 or counted.position = this.position
   order by counted.position`,
);
// Notes of no turn belong to the turn that follows them.
const selectEntries = statement(
  'select_conversation_entries',
  `with first as (
     select min(seq) as seq from transcript where turn_key = any($2::bigint[])
   ), span as (
     select coalesce((select max(e.seq) + 1 from transcript e, first
                      where e.user_id = t.user_id and e.turn_key is not null and e.seq < first.seq), 0) as seq, t.user_id
     from turns t where t.turn_key = $1::bigint
   )
   select e.turn_key::text, e.step, e.kind, e.text
   from transcript e, span
   where e.user_id = span.user_id and e.seq >= span.seq and (e.turn_key = any($2::bigint[]) or e.turn_key is null)
   order by e.seq`,
);
const selectCalls = statement(
  'select_conversation_calls',
  `select turn_key::text, step, call_id, tool, arguments_json, shown, submitted_at is not null as is_submitted
   from tool_calls where turn_key = any($1::bigint[]) order by turn_key, step, index`,
);

interface EntryRow {
  turn_key: string | null;
  step: number | null;
  kind: 'user' | 'assistant' | 'note';
  text: string;
}
interface CallRow {
  turn_key: string;
  step: number;
  call_id: string;
  tool: string;
  arguments_json: string;
  shown: string | null;
  is_submitted: boolean;
}

/**
 * The user's turns up to and with this one, oldest first: at most `turnsMax`, of at most `bytesMax` bytes in all; whole turns are
 * left out from the oldest on, this one never. Each tool call's result follows the answer that asked for it.
 * @throws InnkeeperError TURN_UNKNOWN
 */
export async function loadConversation(
  store: Queryable,
  options: { readonly turnKey: string; readonly turnsMax: number; readonly bytesMax: number },
): Promise<TranscriptTurn[]> {
  const { turnKey, turnsMax, bytesMax } = options;
  const recent = await store.query<{ turn_key: string; turn_id: string }>(selectRecent, [turnKey, turnsMax, bytesMax]);
  if (recent.rowCount === 0) throw new InnkeeperError('TURN_UNKNOWN', 'There is no such turn, or it has not begun.');
  const keys = recent.rows.map((row) => row.turn_key);
  const [entries, calls] = await Promise.all([
    store.query<EntryRow>(selectEntries, [turnKey, keys]),
    store.query<CallRow>(selectCalls, [keys]),
  ]);
  const callsOf = byStep(calls.rows);
  const entriesOf = new Map<string, TranscriptEntry[]>(keys.map((key) => [key, []]));
  let waiting: TranscriptEntry[] = [];
  for (const row of entries.rows) {
    const said = row.kind === 'assistant' ? answerOf(row, callsOf) : [{ kind: row.kind, text: row.text }];
    if (row.turn_key === null) {
      waiting.push(...said);
      continue;
    }
    entriesOf.get(row.turn_key)?.push(...waiting, ...said);
    waiting = [];
  }
  entriesOf.get(turnKey)?.push(...waiting);
  return recent.rows.map((row) => ({ turnId: row.turn_id, entries: entriesOf.get(row.turn_key) ?? [] }));
}

function answerOf(row: EntryRow, callsOf: ReadonlyMap<string, readonly CallRow[]>): TranscriptEntry[] {
  const calls = callsOf.get(`${row.turn_key ?? ''}/${row.step ?? 0}`) ?? [];
  const toolCalls = calls.map((call) => ({ id: call.call_id, name: call.tool, argumentsJson: call.arguments_json }));
  const results = calls.map((call) => ({
    kind: 'tool' as const,
    toolCallId: call.call_id,
    text: call.shown ?? (call.is_submitted ? NO_OUTCOME : NEVER_RAN),
  }));
  return [{ kind: 'assistant', text: row.text, toolCalls }, ...results];
}

function byStep(calls: readonly CallRow[]): Map<string, CallRow[]> {
  const groups = new Map<string, CallRow[]>();
  for (const call of calls) {
    const key = `${call.turn_key}/${call.step}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [call]);
    else group.push(call);
  }
  return groups;
}
