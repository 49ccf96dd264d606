/** Turns as they are read, and their end. Their beginning is admission.ts and next-turn.ts, what happens in between steps.ts and calls.ts. */
import type { TurnOutcome } from '../contracts/activities.js';
import { InnkeeperError, isErrorCode, type ErrorCode } from '../contracts/errors.js';
import { appendEvent } from './events.js';
import type { Tx } from './pool.js';
import { statement, toIso, toStorable, type Queryable } from './sql.js';
import { unknownUser } from './users.js';

export type TurnState = 'queued' | 'running' | TurnOutcome;
/** Which way a turn came in whose tool call is given. */
export type TurnOrigin = 'backend' | 'mcp';

/** A turn as backends and operators see it. Instants are ISO 8601. */
export interface TurnView {
  readonly turnId: string;
  readonly turnKey: string;
  readonly position: number;
  readonly state: TurnState;
  readonly prompt: string;
  /** Of a turn whose tool call was given with it; null: a message. */
  readonly origin: TurnOrigin | null;
  /** The last step's text, of a turn that completed. */
  readonly answer: string | null;
  readonly errorCode: ErrorCode | null;
  /** Model calls that were answered. */
  readonly steps: number;
  readonly toolCalls: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly isCancelRequested: boolean;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly deadlineAt: string | null;
  readonly endedAt: string | null;
}

interface TurnViewRow {
  /** null: the user is known, the turn is not. */
  turn_key: string | null;
  turn_id: string;
  position: number;
  state: TurnState;
  prompt: string;
  origin: TurnOrigin | null;
  answer: string | null;
  error_code: string | null;
  steps: number;
  tool_calls: number;
  input_tokens: number;
  output_tokens: number;
  cancel_requested_at: Date | null;
  created_at: Date;
  started_at: Date | null;
  deadline_at: Date | null;
  ended_at: Date | null;
}

const COLUMNS = `
  t.turn_key::text, t.turn_id, t.position, t.state, t.prompt, t.origin, t.answer, t.error_code, t.cancel_requested_at,
  t.created_at, t.started_at, t.deadline_at, t.ended_at, s.steps, s.input_tokens, s.output_tokens,
  (select count(*) from tool_calls c where c.turn_key = t.turn_key) as tool_calls`;
const TALLY = `
  left join lateral (
    select count(*) as steps, coalesce(sum(input_tokens), 0)::bigint as input_tokens,
           coalesce(sum(output_tokens), 0)::bigint as output_tokens
    from steps where turn_key = t.turn_key and answered_at is not null
  ) s on true`;

const selectTurn = statement(
  'select_turn',
  `select ${COLUMNS} from users u left join turns t on t.user_id = u.user_id and t.turn_id = $2 ${TALLY} where u.user_id = $1`,
);
const selectTurns = statement(
  'select_turns',
  `select ${COLUMNS} from users u
   left join lateral (
     select * from turns where user_id = u.user_id and position < coalesce($2::bigint, 9223372036854775807) order by position desc limit $3
   ) t on true ${TALLY}
   where u.user_id = $1 order by t.position desc`,
);

const selectOpen = statement(
  'select_open_turns',
  `select ${COLUMNS} from users u left join turns t on t.user_id = u.user_id and t.state in ('queued', 'running') ${TALLY}
   where u.user_id = $1 order by t.position`,
);

/** @throws InnkeeperError USER_UNKNOWN, TURN_UNKNOWN */
export async function getTurn(
  store: Queryable,
  turn: { readonly userId: string; readonly turnId: string },
): Promise<TurnView> {
  const row = (await store.query<TurnViewRow>(selectTurn, [turn.userId, turn.turnId])).rows[0];
  if (row === undefined) throw unknownUser();
  if (row.turn_key === null) throw new InnkeeperError('TURN_UNKNOWN', 'This user has no such turn.');
  return toView({ ...row, turn_key: row.turn_key });
}

/** The user's turns, the latest position first; those before position `before`. @throws InnkeeperError USER_UNKNOWN */
export async function listTurns(
  store: Queryable,
  page: { readonly userId: string; readonly limit: number; readonly before?: number },
): Promise<TurnView[]> {
  const { rows } = await store.query<TurnViewRow>(selectTurns, [page.userId, page.before ?? null, page.limit]);
  return toViews(rows);
}

/** The user's open turns in their order, the running one first. @throws InnkeeperError USER_UNKNOWN */
export async function listOpenTurns(store: Queryable, { userId }: { readonly userId: string }): Promise<TurnView[]> {
  return toViews((await store.query<TurnViewRow>(selectOpen, [userId])).rows);
}

/** A user without such turns is one row without a turn. */
function toViews(rows: readonly TurnViewRow[]): TurnView[] {
  if (rows.length === 0) throw unknownUser();
  return rows.flatMap((row) => (row.turn_key === null ? [] : [toView({ ...row, turn_key: row.turn_key })]));
}

function toView(row: TurnViewRow & { turn_key: string }): TurnView {
  return {
    turnId: row.turn_id,
    turnKey: row.turn_key,
    position: row.position,
    state: row.state,
    prompt: row.prompt,
    origin: row.origin,
    answer: row.answer,
    errorCode: isErrorCode(row.error_code) ? row.error_code : null,
    steps: row.steps,
    toolCalls: row.tool_calls,
    inputTokens: row.input_tokens,
    outputTokens: row.output_tokens,
    isCancelRequested: row.cancel_requested_at !== null,
    createdAt: toIso(row.created_at),
    startedAt: toIso(row.started_at),
    deadlineAt: toIso(row.deadline_at),
    endedAt: toIso(row.ended_at),
  };
}

/** True once the turn is over. */
export function isEnded(turn: { readonly state: TurnState }): boolean {
  return turn.state !== 'queued' && turn.state !== 'running';
}

const close = statement(
  'close_turn',
  `with folded as (delete from turn_deltas where turn_key = $1::bigint)
   update turns set state = $2, error_code = $3, answer = $4, ended_at = clock_timestamp()
   where turn_key = $1::bigint and state = 'running'`,
);

export interface CloseTurnInput {
  /** Locked by the transaction: contactLane, requireLane or requireLaneTurn. */
  readonly user: { readonly userId: string };
  readonly turnKey: string;
  readonly outcome: TurnOutcome;
  /** null for `completed`. */
  readonly code: ErrorCode | null;
  readonly answer?: string;
}

/** Ends a running turn. The first close wins: false where the turn does not run (any more). */
export async function closeTurn(tx: Tx, end: CloseTurnInput): Promise<boolean> {
  const { user, turnKey, outcome, code, answer } = end;
  const values = [turnKey, outcome, code, answer === undefined ? null : toStorable(answer)];
  const { rowCount } = await tx.query(close, values);
  if (rowCount === 0) return false;
  noteTurnEnd(tx, { userId: user.userId, turnKey, outcome, code, hasRun: true });
  return true;
}

const closeOpen = statement(
  'close_open_turns',
  `with open as (
     select turn_key, state from turns where user_id = $1 and state in ('queued', 'running') order by position
   ), closed as (
     update turns set state = 'failed', error_code = $2, ended_at = clock_timestamp()
     from open where turns.turn_key = open.turn_key
     returning turns.turn_key::text, turns.position, open.state = 'running' as has_run
   ), folded as (
     delete from turn_deltas d using open where d.turn_key = open.turn_key
   )
   select turn_key, has_run from closed order by position`,
);

/** Ends every open turn of the user as failed. Answers how many. The user's row is locked by the transaction. */
export async function failOpenTurns(
  tx: Tx,
  input: { readonly user: { readonly userId: string }; readonly code: ErrorCode },
): Promise<number> {
  const { userId } = input.user;
  const { rows } = await tx.query<{ turn_key: string; has_run: boolean }>(closeOpen, [userId, input.code]);
  for (const { turn_key: turnKey, has_run: hasRun } of rows) {
    noteTurnEnd(tx, { userId, turnKey, outcome: 'failed', code: input.code, hasRun });
  }
  return rows.length;
}

/** The event of a turn's end, the user's counters, and the notice for whoever waits. */
export function noteTurnEnd(
  tx: Tx,
  end: {
    readonly userId: string;
    readonly turnKey: string;
    readonly outcome: TurnOutcome;
    readonly code: ErrorCode | null;
    readonly hasRun: boolean;
  },
): void {
  const { userId, turnKey, outcome, code, hasRun } = end;
  appendEvent(tx, { userId, turnKey, body: { type: 'turn.ended', outcome, code } });
  tx.appendsOf(userId).endedTurns.push({ turnKey, outcome, hasRun, code: outcome === 'failed' ? code : null });
}
