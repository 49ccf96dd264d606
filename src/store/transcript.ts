/** What was said and done, as a person reads it: the transcript with the tool calls of each answer, and the output of one command. */
import type { CallOutcome } from '../contracts/activities.js';
import { isErrorCode, InnkeeperError, type ErrorCode } from '../contracts/errors.js';
import { statement, toIso, toStorable, type Queryable } from './sql.js';
import type { TurnState } from './turns.js';
import { unknownUser } from './users.js';

/** A tool call beside the answer that asked for it. Instants are ISO 8601. */
export interface TranscriptCall {
  readonly index: number;
  readonly cmdId: string;
  readonly tool: string;
  readonly title: string;
  /** null: it has not ended. */
  readonly outcome: CallOutcome | null;
  readonly exitCode: number | null;
  /** As the model is shown it: control sequences removed, head and tail. */
  readonly output: string;
  /** Of all that it wrote, kept or not. */
  readonly outputBytes: number | null;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
}

export interface TranscriptEntry {
  /** Per user, from 1, without gaps. */
  readonly seq: number;
  /** null: said between turns. */
  readonly turnId: string | null;
  readonly turnState: TurnState | null;
  /** Why the turn failed. */
  readonly errorCode: ErrorCode | null;
  readonly step: number | null;
  readonly kind: 'user' | 'assistant' | 'note';
  readonly text: string;
  readonly at: string;
  readonly calls: readonly TranscriptCall[];
}

export interface TranscriptPage {
  /** The latest first. */
  readonly entries: readonly TranscriptEntry[];
  /** The user's last event at the instant of the page: what happened after it is not in the page. */
  readonly eventSeq: number;
}

interface EntryRow {
  event_seq: number;
  /** null: the user has no such entry. */
  seq: number | null;
  turn_id: string | null;
  turn_state: TurnState | null;
  error_code: string | null;
  step: number | null;
  kind: TranscriptEntry['kind'];
  text: string;
  at: Date;
  calls: TranscriptCall[] | null;
}

const instant = (column: string): string => `to_char(${column} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

const selectEntries = statement(
  'select_transcript',
  `select u.event_seq, e.seq, t.turn_id, t.state as turn_state, t.error_code, e.step, e.kind, e.text, e.at, c.calls
   from users u
   left join lateral (
     select * from transcript where user_id = u.user_id and seq < coalesce($2::bigint, 9223372036854775807) order by seq desc limit $3
   ) e on true
   left join turns t on t.turn_key = e.turn_key
   left join lateral (
     select jsonb_agg(jsonb_build_object('index', index, 'cmdId', cmd_id, 'tool', tool, 'title', title, 'outcome', outcome,
       'exitCode', exit_code, 'output', coalesce(shown, ''), 'outputBytes', output_bytes, 'startedAt', ${instant('submitted_at')},
       'endedAt', ${instant('settled_at')}) order by index) as calls
     from tool_calls where turn_key = e.turn_key and step = e.step and e.kind = 'assistant'
   ) c on true
   where u.user_id = $1 order by e.seq desc`,
);

/** The user's transcript, of one instant: the entries before `before` (default: the last ones). @throws InnkeeperError USER_UNKNOWN */
export async function readTranscript(
  store: Queryable,
  page: { readonly userId: string; readonly limit: number; readonly before?: number },
): Promise<TranscriptPage> {
  const { rows } = await store.query<EntryRow>(selectEntries, [page.userId, page.before ?? null, page.limit]);
  if (rows[0] === undefined) throw unknownUser();
  const entries = rows.flatMap((row) => (row.seq === null ? [] : [toEntry({ ...row, seq: row.seq })]));
  return { entries, eventSeq: rows[0].event_seq };
}

function toEntry(row: EntryRow & { readonly seq: number }): TranscriptEntry {
  return {
    seq: row.seq,
    turnId: row.turn_id,
    turnState: row.turn_state,
    errorCode: isErrorCode(row.error_code) ? row.error_code : null,
    step: row.step,
    kind: row.kind,
    text: row.text,
    at: toIso(row.at),
    calls: row.calls ?? [],
  };
}

/** Output of a command as it is kept: all of it, or its beginning and its end. */
export interface KeptOutput {
  readonly bytes: Buffer;
  /** Of all that the command wrote. */
  readonly outputBytes: number;
}

interface OutputRow {
  outcome: CallOutcome | null;
  output_bytes: number | null;
  output_head: Buffer | null;
  output_tail: Buffer | null;
}

const selectOutput = statement(
  'select_output',
  `select c.outcome, c.output_bytes, c.output_head, c.output_tail from tool_calls c join turns t using (turn_key)
   where c.cmd_id = $2 and t.user_id = $1`,
);

/** What a command of this user wrote; a line says where the middle is not kept. @throws InnkeeperError OUTPUT_UNKNOWN */
export async function readOutput(
  store: Queryable,
  of: { readonly userId: string; readonly cmdId: string },
): Promise<KeptOutput> {
  const [row] = (await store.query<OutputRow>(selectOutput, [of.userId, toStorable(of.cmdId)])).rows;
  if (row === undefined || row.outcome === null) {
    throw new InnkeeperError('OUTPUT_UNKNOWN', 'This user has no such command, or it has not ended.');
  }
  const head = row.output_head ?? Buffer.alloc(0);
  const tail = row.output_tail ?? Buffer.alloc(0);
  const outputBytes = row.output_bytes ?? 0;
  const missing = outputBytes - head.length - tail.length;
  const gap = missing > 0 ? Buffer.from(`\n[${missing} bytes were not kept]\n`) : Buffer.alloc(0);
  return { bytes: Buffer.concat([head, gap, tail]), outputBytes };
}
