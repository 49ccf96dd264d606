/** One transaction: what its function may do, and what is appended to the user's record when it commits. */
import type { CallOutcome, TurnOutcome } from '../contracts/activities.js';
import type { TurnEventBody } from '../contracts/events.js';
import type { ErrorCode } from '../contracts/errors.js';
import { statement, toJson, toStorable, type Queryable } from './sql.js';

export interface PendingEvent {
  readonly turnKey: string | null;
  readonly body: TurnEventBody;
}

export interface PendingEntry {
  readonly turnKey: string | null;
  readonly step: number | null;
  readonly kind: 'user' | 'assistant' | 'note';
  readonly text: string;
}

/** What a transaction adds to one user's record. Sequence numbers are given when it commits, by the row itself. */
interface Appends {
  readonly events: PendingEvent[];
  readonly entries: PendingEntry[];
  readonly startedTurns: StartedTurn[];
  readonly settledCalls: SettledOutcome[];
  readonly endedTurns: EndedTurn[];
}

interface StartedTurn {
  readonly turnKey: string;
  /** Since its admission, by Postgres's clock. */
  readonly waitedMs: number;
}

interface SettledOutcome {
  readonly outcome: CallOutcome;
  readonly reason: string | null;
}

interface EndedTurn {
  readonly turnKey: string;
  readonly outcome: TurnOutcome;
  readonly hasRun: boolean;
  /** Of one that failed. */
  readonly code: ErrorCode | null;
}

/** What a transaction did to turns, once it is committed. */
export type CommittedTurns = Pick<Appends, 'startedTurns' | 'settledCalls' | 'endedTurns'>;

export interface Tx extends Queryable {
  /** The user's pending appends; written in the same flight as the commit. */
  appendsOf(userId: string): Appends;
}

/** Channel of the notices that something was appended. */
export const EVENTS_CHANNEL = 'innkeeper_events';
/** A notice is at most 8,000 bytes: beyond this many ends it says `null`, and every waiter looks for itself. */
const ENDED_NAMED_MAX = 100;

/** What a notice carries. */
export interface EventNotice {
  readonly userId: string;
  /** Highest sequence of the transaction. */
  readonly seq: number;
  /** Keys of the turns that it ended; null: too many to name. */
  readonly ended: readonly string[] | null;
}

export function createAppends(): Map<string, Appends> {
  return new Map();
}

export function appendsOf(all: Map<string, Appends>, userId: string): Appends {
  let appends = all.get(userId);
  if (appends === undefined) {
    appends = { events: [], entries: [], startedTurns: [], settledCalls: [], endedTurns: [] };
    all.set(userId, appends);
  }
  return appends;
}

// The commit is sent right behind these, so a user that is not there must be an error of the statement itself: the left join gives
// its entry no sequence, which the table refuses.

/** Of its own, because the limited role may write events but neither transcript nor counters. */
const appendEvents = statement(
  'append_events',
  `with owner as (
     update users set event_seq = event_seq + jsonb_array_length($2::jsonb) where user_id = $1 returning event_seq
   ), items as (
     select item, ordinal from jsonb_array_elements($2::jsonb) with ordinality as list (item, ordinal)
   ), written as (
     insert into turn_events (user_id, seq, turn_key, body)
     select $1, owner.event_seq - jsonb_array_length($2::jsonb) + ordinal, (item ->> 'turnKey')::bigint, item -> 'body'
     from items left join owner on true
   )
   select pg_notify($4, jsonb_build_object('userId', $1::text, 'seq', owner.event_seq, 'ended', $3::jsonb)::text) from owner`,
);

const appendEntries = statement(
  'append_entries',
  `with owner as (
     update users set
       transcript_seq = transcript_seq + jsonb_array_length($2::jsonb),
       turn_count = turn_count + $3,
       last_turn_at = case when $3 > 0 then clock_timestamp() else last_turn_at end,
       last_error_code = coalesce($4, last_error_code)
     where user_id = $1 returning transcript_seq
   ), items as (
     select item, ordinal from jsonb_array_elements($2::jsonb) with ordinality as list (item, ordinal)
   )
   insert into transcript (user_id, seq, turn_key, step, kind, text)
   select $1, owner.transcript_seq - jsonb_array_length($2::jsonb) + ordinal, (item ->> 'turnKey')::bigint,
          (item ->> 'step')::integer, item ->> 'kind', item ->> 'text'
   from items left join owner on true`,
);

/** Writes all pending appends. Every statement is sent before the first answer is awaited. */
export async function flushAppends(connection: Queryable, all: Map<string, Appends>): Promise<void> {
  const sent: Promise<unknown>[] = [];
  for (const [userId, { events, entries, endedTurns }] of all) {
    const ran = endedTurns.filter((turn) => turn.hasRun);
    if (entries.length > 0 || ran.length > 0) {
      const values = [userId, toJson(entries), ran.length, ran.findLast((turn) => turn.code !== null)?.code ?? null];
      sent.push(connection.query(appendEntries, values));
    }
    if (events.length > 0) {
      const ended = endedTurns.length > ENDED_NAMED_MAX ? null : endedTurns.map((turn) => turn.turnKey);
      const values = [userId, toJson(events), JSON.stringify(ended), EVENTS_CHANNEL];
      sent.push(connection.query(appendEvents, values));
    }
  }
  await Promise.all(sent);
}

/** Adds an entry to the user's transcript when the transaction commits. */
export function appendEntry(tx: Tx, entry: PendingEntry & { readonly userId: string }): void {
  const { userId, ...rest } = entry;
  tx.appendsOf(userId).entries.push({ ...rest, text: toStorable(rest.text) });
}

/** Tells the agent something: in the turn, or before the user's next words where `turnKey` is null. */
export function addNote(
  tx: Tx,
  note: { readonly userId: string; readonly turnKey: string | null; readonly text: string },
): void {
  appendEntry(tx, { ...note, step: null, kind: 'note' });
}
