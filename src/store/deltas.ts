/**
 * Live text: stored in small batches while a part of a turn (a model's answer, a command's output) is made, and gone in the
 * transaction that completes the part. Only the newest try of a part that is open may add to it.
 */
import type { TurnDeltaBody } from '../contracts/events.js';
import { statement, toJson, type Queryable } from './sql.js';

/** Channel of live text. */
export const DELTAS_CHANNEL = 'innkeeper_deltas';
/** Postgres takes less than 8,000 bytes; what does not fit is read from the table. */
const NOTICE_BYTES_MAX = 7_900;
/** `index` of the model's answer. */
export const ANSWER_PART = -1;

/** One part of a turn. */
export interface PartKey {
  readonly turnKey: string;
  readonly step: number;
  /** Of the tool call whose output it is; ANSWER_PART: the model's answer. */
  readonly index: number;
}

export interface PlacedDelta {
  /** From 1 within the try, without gaps; 0: `part.restarted`. */
  readonly n: number;
  readonly body: TurnDeltaBody;
}

/** What a notice carries. */
export interface DeltaNotice extends PartKey {
  readonly userId: string;
  readonly turnId: string;
  readonly try: number;
  /** null: too long for a notice. */
  readonly deltas: readonly PlacedDelta[] | null;
}

const NOTICE = `jsonb_build_object('userId', t.user_id, 'turnId', t.turn_id, 'turnKey', t.turn_key::text, 'step', $2::integer,
  'index', $3::integer, 'try', $4::integer, 'deltas', $5::jsonb)`;

/**
 * The turn's row and then the part's (`owner`) are locked against whoever completes them, in the order in which they lock them: an
 * append may come late, from an attempt whose connection broke. `owner` finds the part while this try is the newest.
 */
const append = (name: string, owner: string): ReturnType<typeof statement> =>
  statement(
    name,
    `with running as (
       select 1 from turns where turn_key = $1::bigint and state = 'running' for share
     ), owner as (${owner} and exists (select from running) for share), told as (
       select t.user_id, ${NOTICE} as notice from turns t where t.turn_key = $1::bigint and exists (select from owner)
     ), written as (
       insert into turn_deltas (turn_key, step, index, try, n, user_id, body)
       select $1::bigint, $2, $3, $4, (item ->> 'n')::integer, told.user_id, item -> 'body'
       from told, jsonb_array_elements($5::jsonb) as list (item)
       on conflict do nothing
     )
     select pg_notify('${DELTAS_CHANNEL}', case when octet_length(notice::text) <= ${NOTICE_BYTES_MAX} then notice::text
       else (notice || '{"deltas": null}')::text end) from told`,
  );
const appendToAnswer = append(
  'append_answer_deltas',
  `select 1 from steps where turn_key = $1::bigint and step = $2 and try = $4 and answered_at is null`,
);
const appendToOutput = append(
  'append_output_deltas',
  `select 1 from tool_calls where turn_key = $1::bigint and step = $2 and index = $3 and try = $4 and outcome is null`,
);

/**
 * Stores and tells live text of a part; repeating it changes nothing. False: the part is complete, or a newer try owns it.
 * @throws InnkeeperError STORE_UNAVAILABLE
 */
export async function appendDeltas(
  store: Queryable,
  { turnKey, step, index, ...said }: PartKey & { readonly try: number; readonly deltas: readonly PlacedDelta[] },
): Promise<boolean> {
  const values = [turnKey, step, index, said.try, toJson(said.deltas)];
  const { rowCount } = await store.query(index === ANSWER_PART ? appendToAnswer : appendToOutput, values);
  return rowCount > 0;
}

const restart = statement(
  'restart_part',
  `with stale as (
     delete from turn_deltas where turn_key = $1::bigint and step = $2 and index = $3 and try < $4 returning 1
   ), told as (
     select t.user_id, ${NOTICE} as notice from turns t where t.turn_key = $1::bigint and exists (select from stale)
   ), written as (
     insert into turn_deltas (turn_key, step, index, try, n, user_id, body)
     select $1::bigint, $2, $3, $4, (item ->> 'n')::integer, told.user_id, item -> 'body'
     from told, jsonb_array_elements($5::jsonb) as list (item)
   )
   select pg_notify('${DELTAS_CHANNEL}', notice::text) from told`,
);

/** A new try at a part begins: what earlier ones said is void, and followers who may have seen any are told. */
export async function restartPart(
  tx: Queryable,
  { turnKey, step, index, ...by }: PartKey & { readonly try: number },
): Promise<void> {
  const deltas: PlacedDelta[] = [{ n: 0, body: { type: 'part.restarted' } }];
  await tx.query(restart, [turnKey, step, index, by.try, toJson(deltas)]);
}

/** Live text as it is stored, with the part that it belongs to. */
export interface StoredDelta extends PartKey, PlacedDelta {
  readonly turnId: string;
  readonly try: number;
}

const selectHead = statement(
  'select_event_head',
  `select u.event_seq as seq, coalesce((
     select jsonb_agg(jsonb_build_object('turnKey', d.turn_key::text, 'turnId', t.turn_id, 'step', d.step, 'index', d.index,
       'try', d.try, 'n', d.n, 'body', d.body) order by d.turn_key, d.step, d.index, d.try, d.n)
     from turn_deltas d join turns t using (turn_key) where d.user_id = u.user_id), '[]') as deltas
   from users u where u.user_id = $1`,
);

export interface EventHead {
  /** Of the user's last event; 0: there is none yet. */
  readonly seq: number;
  /** All live text of the part that is being made, in order. */
  readonly deltas: readonly StoredDelta[];
}

/** The end of the user's events, of one instant. undefined: no such user. @throws InnkeeperError STORE_UNAVAILABLE */
export async function readEventHead(
  store: Queryable,
  { userId }: { readonly userId: string },
): Promise<EventHead | undefined> {
  const { rows } = await store.query<{ seq: number; deltas: StoredDelta[] }>(selectHead, [userId]);
  return rows[0];
}
