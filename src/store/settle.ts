/** The outcome of a tool call. The first one stays, whoever brings it. */
import type { CallOutcome } from '../contracts/activities.js';
import { InnkeeperError } from '../contracts/errors.js';
import { appendEvent } from './events.js';
import { requireLaneTurn } from './lane.js';
import { withTransaction, type Store, type Tx } from './pool.js';
import { one, statement, toStorable } from './sql.js';
import type { CallKey } from './submission.js';

/** What the guest recorded of a command; instants by the guest's clock, ms since the epoch. */
export interface CallResultFields {
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  /** Bytes written in all; head and tail are what was kept. */
  readonly outputBytes?: number;
  readonly outputHead?: Uint8Array;
  readonly outputTail?: Uint8Array;
  readonly outputHash?: string;
  readonly startedAtMs?: number;
  readonly endedAtMs?: number;
}

export interface SettleCallOptions extends CallKey {
  readonly workflowId: string;
  /** null: not on behalf of a lane's run, so its ownership is not asked for. */
  readonly runId: string | null;
  /** Of the attempt that brings a result; null: whichever it is (a command stopped by id). */
  readonly try: number | null;
  readonly outcome: CallOutcome;
  readonly reason: string | null;
  readonly result: CallResultFields;
  /** What the model and the event log are shown. */
  readonly shown: string;
}

export interface SettledCall {
  readonly outcome: CallOutcome;
  readonly exitCode: number | null;
  /** false: it was settled before; this is what was stored then. */
  readonly isFirst: boolean;
}

interface SettledRow {
  outcome: CallOutcome | null;
  exit_code: number | null;
  cmd_id: string;
  tool: string;
  is_first: boolean;
}

const settle = statement(
  'settle_call',
  `with known as (
     select outcome, exit_code, cmd_id, tool from tool_calls where turn_key = $1::bigint and step = $2 and index = $3
   ), settled as (
     update tool_calls set
       outcome = case when $5 in ('cancelled', 'interrupted') then coalesce(stopped_as, $5) else $5 end,
       reason = $6, exit_code = $7, signal = $8, output_bytes = $9, output_head = $10, output_tail = $11,
       output_hash = $12, guest_started_at = $13, guest_ended_at = $14, shown = $15,
       settled_at = clock_timestamp()
     where turn_key = $1::bigint and step = $2 and index = $3 and outcome is null and ($4::integer is null or try = $4)
     returning outcome, exit_code
   ), folded as (
     delete from turn_deltas where turn_key = $1::bigint and step = $2 and index = $3 and exists (select from settled)
   )
   select coalesce(s.outcome, k.outcome) as outcome, case when s.outcome is null then k.exit_code else s.exit_code end as exit_code,
          k.cmd_id, k.tool, s.outcome is not null as is_first
   from known k left join settled s on true`,
);

/**
 * Stores how a call ended; also where the turn is over by then, since it is what happened. One that a stop ended is told with the
 * word that was stored before the stop was sent, where there is one.
 * @throws InnkeeperError STALE_LANE, STALE_TRY, TURN_UNKNOWN
 */
export function settleCall(store: Store, options: SettleCallOptions): Promise<SettledCall> {
  return withTransaction(store, async (tx) => {
    const userId = await lockOwner(tx, options);
    const row = one(await tx.query<SettledRow>(settle, toValues(options)));
    if (row.outcome === null) throw new InnkeeperError('STALE_TRY', 'A newer attempt of the call owns it.');
    if (row.is_first) {
      const { turnKey, step, index } = options;
      const { outcome, exit_code: exitCode, cmd_id: cmdId, tool } = row;
      const said = { outputBytes: options.result.outputBytes ?? 0, output: options.shown };
      const body = { type: 'command.ended', step, index, cmdId, tool, outcome, exitCode, ...said } as const;
      appendEvent(tx, { userId, turnKey, body });
      tx.appendsOf(userId).settledCalls.push({ outcome, reason: options.reason });
    }
    return { outcome: row.outcome, exitCode: row.exit_code, isFirst: row.is_first };
  });
}

const lockOwnerOfTurn = statement(
  'lock_owner_of_turn',
  `select u.user_id from users u join turns t on t.user_id = u.user_id and t.turn_key = $2::bigint
   where u.workflow_id = $1 for update of u`,
);

async function lockOwner(tx: Tx, { workflowId, runId, turnKey }: SettleCallOptions): Promise<string> {
  if (runId !== null) return (await requireLaneTurn(tx, { workflowId, runId, turnKey })).user.userId;
  const { rows } = await tx.query<{ user_id: string }>(lockOwnerOfTurn, [workflowId, turnKey]);
  if (rows[0] === undefined) throw new InnkeeperError('TURN_UNKNOWN', 'The user of this lane has no such turn.');
  return rows[0].user_id;
}

function toValues(options: SettleCallOptions): unknown[] {
  const { turnKey, step, index, outcome, reason, result, shown } = options;
  return [
    turnKey,
    step,
    index,
    options.try,
    outcome,
    reason === null ? null : toStorable(reason),
    result.exitCode ?? null,
    result.signal ?? null,
    result.outputBytes ?? null,
    toBytes(result.outputHead),
    toBytes(result.outputTail),
    result.outputHash ?? null,
    toInstant(result.startedAtMs),
    toInstant(result.endedAtMs),
    toStorable(shown),
  ];
}

function toBytes(bytes: Uint8Array | undefined): Buffer | null {
  return bytes === undefined ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function toInstant(ms: number | undefined): Date | null {
  return ms === undefined ? null : new Date(ms);
}
