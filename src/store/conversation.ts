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

export interface Conversation {
  /** Oldest first; the last one is the turn that was asked for. */
  readonly turns: readonly TranscriptTurn[];
  /** There are earlier turns, which are not among them. */
  readonly omitsEarlier: boolean;
}

/** What the model is told of a call that has nothing to show. */
const NEVER_RAN = '(not run: the turn ended first)';
const NO_OUTCOME = '(its outcome is not known: the turn ended first)';

/** Positions looked at for each turn that may be given: a turn that was cancelled while it waited has nothing to give. */
const POSITIONS_PER_TURN = 4;

// Sizes first: text is read only of the turns that fit, and this turn is always among them. Ranges of the keys bound what is
// read, whatever the planner thinks: neither a long life of a user nor a young database makes it walk all of a user's turns.
const selectRecent = statement(
  'select_recent_turns',
  `with recent as (
     select t.user_id, t.turn_key, t.turn_id, t.position, t.turn_key = $1::bigint as is_this,
       case when t.turn_key = $1::bigint then t.prompt end as prompt
     from turns t
     where t.user_id = (select user_id from turns where turn_key = $1::bigint)
       and t.position <= (select position from turns where turn_key = $1::bigint)
       and t.position > (select position from turns where turn_key = $1::bigint) - $4::bigint
       and (t.started_at is not null or t.turn_key = $1::bigint)
     order by t.position desc limit $2::bigint + 1
   ), sized as (
     select recent.*,
       (select coalesce(sum(octet_length(text)), octet_length(recent.prompt), 0) from transcript where turn_key = recent.turn_key)
       + (select coalesce(sum(octet_length(arguments_json) + coalesce(octet_length(shown), 0)), 0)
          from tool_calls where turn_key = recent.turn_key) as bytes
     from recent
   ), counted as (
     select sized.*, sum(bytes) over (order by position desc) as bytes_from_here, row_number() over (order by position desc) as place
     from sized
   )
   select user_id, turn_key::text, turn_id, prompt, (select count(*) from counted) as seen
   from counted where place <= $2::bigint and (bytes_from_here <= $3 or is_this) order by position`,
);
// Turns run one after the other, so their entries follow each other; notes of no turn belong to the turn that follows them.
// A turn that is not open yet comes after everything.
const selectEntries = statement(
  'select_conversation_entries',
  `select turn_key::text, step, kind, text from transcript
   where user_id = $1
     and seq > coalesce((
       select seq from transcript
       where user_id = $1 and turn_key is not null
         and seq < coalesce((select seq from transcript where turn_key = $2::bigint order by seq limit 1), 9223372036854775807)
       order by seq desc limit 1), 0)
     and (turn_key = any($3::bigint[]) or turn_key is null)
   order by transcript.seq`,
);
const selectCalls = statement(
  'select_conversation_calls',
  `select turn_key::text, step, call_id, tool, arguments_json, shown, submitted_at is not null as is_submitted
   from tool_calls where turn_key = any($1::bigint[])
   order by tool_calls.turn_key, step, index`,
);

interface RecentRow {
  user_id: string;
  turn_key: string;
  turn_id: string;
  /** Of the turn that was asked for. */
  prompt: string | null;
  /** Turns looked at: more than there are rows where some did not fit. */
  seen: number;
}
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
 * left out from the oldest on, this one never. Each tool call's result follows the answer that asked for it. This turn may be
 * one that is only being opened.
 * @throws InnkeeperError TURN_UNKNOWN
 */
export async function loadConversation(
  store: Queryable,
  options: { readonly turnKey: string; readonly turnsMax: number; readonly bytesMax: number },
): Promise<Conversation> {
  const { turnKey, turnsMax, bytesMax } = options;
  const values = [turnKey, turnsMax, bytesMax, turnsMax * POSITIONS_PER_TURN];
  const recent = await store.query<RecentRow>(selectRecent, values);
  const [oldest] = recent.rows;
  if (oldest === undefined) throw new InnkeeperError('TURN_UNKNOWN', 'There is no such turn.');
  const keys = recent.rows.map((row) => row.turn_key);
  const [entries, calls] = await Promise.all([
    store.query<EntryRow>(selectEntries, [oldest.user_id, oldest.turn_key, keys]),
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
  const last = entriesOf.get(turnKey);
  last?.push(...waiting);
  const prompt = recent.rows.at(-1)?.prompt;
  // It waits, or waited a moment ago: its prompt joins the transcript when it is opened.
  if (last?.some(({ kind }) => kind === 'user') === false && prompt) last.push({ kind: 'user', text: prompt });
  const turns = recent.rows.map((row) => ({ turnId: row.turn_id, entries: entriesOf.get(row.turn_key) ?? [] }));
  return { turns, omitsEarlier: oldest.seen > turns.length };
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
