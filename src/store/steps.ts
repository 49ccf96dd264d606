/** The model's side of a step: each try is numbered before the model is asked, and one result is stored per step. */
import type {
  CallRef,
  CallOutcome,
  ClosedTurn,
  LaneSettings,
  OpenedTurn,
  StepResult,
  TurnOutcome,
} from '../contracts/activities.js';
import type { ErrorCode } from '../contracts/errors.js';
import { InnkeeperError } from '../contracts/errors.js';
import { commandId } from '../contracts/ids.js';
import { ANSWER_PART, restartPart } from './deltas.js';
import { appendEvent } from './events.js';
import { SELECT_GIVEN, toGivenStep, type GivenRow, type GivenStep } from './given-call.js';
import { requireAdopted, requireLaneTurn, type LaneRun, type LaneTurn, type LaneUser } from './lane.js';
import { settingsOf, startTurn } from './open-turn.js';
import { withTransaction, type Store, type Tx } from './pool.js';
import { one, statement, toJson, toStorable } from './sql.js';
import { appendEntry } from './transaction.js';
import { closeTurn } from './turns.js';

export interface StepOptions extends LaneRun {
  readonly turnKey: string;
  readonly step: number;
}

export interface BeginStepOptions extends StepOptions {
  /** Opens the turn where it still waits, with these for what the user's row leaves open. */
  readonly opens?: LaneSettings;
}

export type BegunStep =
  | { readonly kind: 'closed'; readonly outcome: TurnOutcome; readonly code: ErrorCode | null }
  /** The result was stored before. */
  | { readonly kind: 'answered'; readonly calls: readonly CallRef[] }
  /** It was to be opened, and could not be. */
  | { readonly kind: 'not_next' }
  | {
      readonly kind: 'begin';
      readonly userId: string;
      readonly try: number;
      readonly opened: OpenedTurn | undefined;
      /** The turn's tool call was given with it: no model is asked. */
      readonly given: GivenStep | undefined;
    };

const begin = statement(
  'begin_step',
  `with answered as (
     select 1 from steps where turn_key = $1::bigint and step = $2 and answered_at is not null
   ), begun as (
     insert into steps (turn_key, step, try) select $1::bigint, $2, 1 where not exists (select from answered)
     on conflict (turn_key, step) do update set try = steps.try + 1
     returning try
   ), moved as (
     update turns set step = $2 where turn_key = $1::bigint and step <> $2 and exists (select from begun)
   )
   select (select try from begun) as try, given.given_tool, given.given_arguments,
     coalesce((select jsonb_agg(jsonb_build_object('index', index, 'tool', tool, 'isSettled', outcome is not null) order by index)
               from tool_calls where turn_key = $1::bigint and step = $2), '[]') as calls
   from (${SELECT_GIVEN}) given`,
);

/**
 * Numbers a try of a step. `closed` where the turn is over; a turn whose cancel was asked for ends here, since none of its
 * commands runs while its model is asked.
 * @throws InnkeeperError STALE_LANE, TURN_UNKNOWN
 */
export function beginStep(store: Store, options: BeginStepOptions): Promise<BegunStep> {
  return withTransaction(store, async (tx) => {
    const { user, turn } = await requireLaneTurn(tx, options);
    const isOpening = turn.state === 'queued' && options.opens !== undefined;
    const opened = isOpening ? await open(tx, user, { ...options, opens: options.opens }) : undefined;
    if (isOpening && opened === undefined) return { kind: 'not_next' };
    if (!isOpening) {
      const closed = await closedOf(tx, user, turn);
      if (closed !== undefined) return closed;
      requireAdopted(user, turn);
    }
    const values = [options.turnKey, options.step];
    const row = one(await tx.query<GivenRow & { try: number | null; calls: CallRef[] }>(begin, values));
    if (row.try === null) return { kind: 'answered', calls: row.calls };
    if (row.try > 1)
      await restartPart(tx, { turnKey: options.turnKey, step: options.step, index: ANSWER_PART, try: row.try });
    return { kind: 'begin', userId: user.userId, try: row.try, opened, given: toGivenStep(row) };
  });
}

async function open(
  tx: Tx,
  user: LaneUser,
  { turnKey, opens }: { readonly turnKey: string; readonly opens: LaneSettings },
): Promise<OpenedTurn | undefined> {
  // A user that is being destroyed begins nothing more.
  if (user.state !== 'active') return undefined;
  const settings = settingsOf(user, opens);
  const started = await startTurn(tx, user, { turnKey, wallMs: settings.wallMs });
  return started && { ...settings, deadlineAtMs: started.deadlineAt.getTime() };
}

/** How the turn ended; a cancel that was asked for is carried out. undefined: the turn goes on. */
async function closedOf(tx: Tx, user: LaneUser, turn: LaneTurn): Promise<ClosedTurn | undefined> {
  if (turn.state === 'queued') throw new Error('a step of a turn that no lane has opened');
  if (turn.state !== 'running') return { kind: 'closed', outcome: turn.state, code: turn.errorCode };
  if (!turn.isCancelRequested) return undefined;
  await closeTurn(tx, { user, turnKey: turn.turnKey, outcome: 'cancelled', code: 'CANCELLED' });
  return { kind: 'closed', outcome: 'cancelled', code: 'CANCELLED' };
}

const countFailure = statement(
  'count_model_failure',
  `update steps set model_failures = model_failures + 1
   where turn_key = $1::bigint and step = $2 and try = $3 and answered_at is null returning model_failures`,
);

/** Notes that the model failed at this try of a step. Answers how often it has; 0: the try no longer counts. @throws InnkeeperError STORE_UNAVAILABLE */
export async function countModelFailure(
  store: Store,
  { turnKey, step, ...by }: Pick<StepOptions, 'turnKey' | 'step'> & { readonly try: number },
): Promise<number> {
  const { rows } = await store.query<{ model_failures: number }>(countFailure, [turnKey, step, by.try]);
  return rows[0]?.model_failures ?? 0;
}

/** A tool call as the model asked for it. */
export interface NewCall {
  /** The model's own id of the call. */
  readonly callId: string;
  readonly tool: string;
  /** JSON text exactly as the model wrote it. */
  readonly argumentsJson: string;
  /** The command's text, or the path of a file tool. */
  readonly title: string;
  /** Set where the call cannot be carried out: what the model is told instead. */
  readonly invalid?: { readonly reason: string; readonly shown: string };
}

export interface StoreAnswerOptions extends StepOptions {
  readonly try: number;
  readonly answer: {
    readonly text: string;
    readonly finish: string;
    readonly model: string;
    readonly usage: { readonly inputTokens: number; readonly outputTokens: number } | undefined;
  };
  /** In the model's order, which gives them their index. */
  readonly calls: readonly NewCall[];
  /** The answer that ends the turn; null where its calls come next. */
  readonly close: { readonly outcome: TurnOutcome; readonly code: ErrorCode | null } | null;
}

const answerStep = statement(
  'answer_step',
  `with answered as (
     update steps set answered_at = clock_timestamp(), finish = $4, model = $5, input_tokens = $6, output_tokens = $7
     where turn_key = $1::bigint and step = $2 and try = $3 and answered_at is null
     returning turn_key, step
   ), calls as (
     insert into tool_calls (turn_key, step, index, call_id, cmd_id, tool, arguments_json, title, outcome, reason, shown, settled_at)
     select a.turn_key, a.step, c.index, c.call_id, c.cmd_id, c.tool, c.arguments_json, c.title, c.outcome, c.reason, c.shown,
            case when c.outcome is not null then clock_timestamp() end
     from answered a, jsonb_to_recordset($8::jsonb) as c (index integer, call_id text, cmd_id text, tool text,
       arguments_json text, title text, outcome text, reason text, shown text)
     returning 1
   ), folded as (
     delete from turn_deltas d using answered a where d.turn_key = a.turn_key and d.step = a.step and d.index = ${ANSWER_PART}
   )
   select (select count(*) from answered) as answered, (select count(*) from calls) as calls`,
);
// Under the user's row lock, as every admission is: what it does not see is signalled later.
const selectQueue = statement(
  'select_queue',
  `select not exists (select from turns where user_id = $1 and state = 'queued') as is_empty`,
);
const selectStep = statement(
  'select_step',
  `select s.try, s.answered_at is not null as is_answered,
     coalesce((select jsonb_agg(jsonb_build_object('index', index, 'tool', tool, 'isSettled', outcome is not null) order by index)
               from tool_calls c where c.turn_key = s.turn_key and c.step = s.step), '[]') as calls
   from steps s where s.turn_key = $1::bigint and s.step = $2`,
);

/**
 * Stores the one result of a step, its calls, and where `close` says so the end of the turn, in one transaction. Where the
 * turn's cancel was asked for meanwhile, the text is kept, no call is stored and the turn ends cancelled.
 * @throws InnkeeperError STALE_LANE, STALE_TRY, TURN_UNKNOWN; nothing is written then
 */
export function storeAnswer(store: Store, options: StoreAnswerOptions): Promise<StepResult> {
  const { turnKey, step, answer } = options;
  return withTransaction(store, async (tx) => {
    const { user, turn } = await requireLaneTurn(tx, options);
    if (turn.state !== 'running') return await repeatedAnswer(tx, user, turn, options);
    requireAdopted(user, turn);
    const calls = turn.isCancelRequested ? [] : options.calls.map((call, index) => toRow(call, index, options));
    const usage = [answer.usage?.inputTokens ?? null, answer.usage?.outputTokens ?? null];
    const values = [turnKey, step, options.try, answer.finish, toStorable(answer.model), ...usage, toJson(calls)];
    const written = one(await tx.query<{ answered: number; calls: number }>(answerStep, values));
    if (written.answered === 0) return await repeatedAnswer(tx, user, turn, options);
    if (written.calls !== calls.length) throw new Error('not every tool call of an answer was stored');

    noteAnswer(tx, { userId: user.userId, turnKey, step, text: answer.text, calls });
    const closed = await closedOf(tx, user, turn);
    if (closed !== undefined) return closed;
    if (options.close === null) {
      return {
        kind: 'calls',
        calls: calls.map(({ index, tool, outcome }) => ({ index, tool, isSettled: outcome !== null })),
      };
    }
    const { outcome, code } = options.close;
    const text = outcome === 'completed' ? { answer: answer.text } : {};
    const [isClosed, queue] = await Promise.all([
      closeTurn(tx, { user, turnKey, outcome, code, ...text }),
      tx.query<{ is_empty: boolean }>(selectQueue, [user.userId]),
    ]);
    if (!isClosed) throw new Error('a running turn could not be closed under its own lock');
    return { kind: 'closed', outcome, code, ...(one(queue).is_empty ? { isQueueEmpty: true } : {}) };
  });
}

/** Nothing was written: the answer is a repetition, or comes too late. */
async function repeatedAnswer(
  tx: Tx,
  user: LaneUser,
  turn: LaneTurn,
  options: StoreAnswerOptions,
): Promise<StepResult> {
  const closed = await closedOf(tx, user, turn);
  if (closed !== undefined) return closed;
  const { rows } = await tx.query<{ try: number; is_answered: boolean; calls: CallRef[] }>(selectStep, [
    options.turnKey,
    options.step,
  ]);
  const stored = rows[0];
  if (stored?.try !== options.try || !stored.is_answered) {
    throw new InnkeeperError('STALE_TRY', 'A newer attempt of the step owns it.');
  }
  return { kind: 'calls', calls: stored.calls };
}

interface CallRow {
  readonly index: number;
  readonly call_id: string;
  readonly cmd_id: string;
  readonly tool: string;
  readonly arguments_json: string;
  readonly title: string;
  readonly outcome: CallOutcome | null;
  readonly reason: string | null;
  readonly shown: string | null;
}

function toRow(call: NewCall, index: number, { turnKey, step }: StepOptions): CallRow {
  return {
    index,
    call_id: call.callId,
    cmd_id: commandId({ turnKey, step, index }),
    tool: call.tool,
    arguments_json: call.argumentsJson,
    title: call.title,
    outcome: call.invalid === undefined ? null : 'invalid',
    reason: call.invalid?.reason ?? null,
    shown: call.invalid?.shown ?? null,
  };
}

function noteAnswer(
  tx: Tx,
  said: { userId: string; turnKey: string; step: number; text: string; calls: readonly CallRow[] },
): void {
  const { userId, turnKey, step, text, calls } = said;
  appendEntry(tx, { userId, turnKey, step, kind: 'assistant', text });
  const shown = calls.map(({ index, cmd_id: cmdId, tool, title }) => ({ index, cmdId, tool, title }));
  appendEvent(tx, { userId, turnKey, body: { type: 'step.answered', step, text, calls: shown } });
  for (const { index, cmd_id: cmdId, tool, outcome, reason, shown: output } of calls) {
    if (outcome === null || output === null) continue;
    const body = {
      type: 'command.ended',
      step,
      index,
      cmdId,
      tool,
      outcome,
      exitCode: null,
      outputBytes: 0,
      output,
    } as const;
    appendEvent(tx, { userId, turnKey, body });
    tx.appendsOf(userId).settledCalls.push({ outcome, reason });
  }
}
