/**
 * The lane's numbers. A user's lane has one owner at a time, a workflow run; each change of the owner raises the number, and a
 * write by any other run is refused.
 */
import type { ErrorCode } from '../contracts/errors.js';
import { InnkeeperError } from '../contracts/errors.js';
import type { TurnState } from './turns.js';
import { one, statement, toStorable, type Queryable } from './sql.js';
import { unknownUser, type UserState } from './users.js';

/** Who asks: the workflow id and the run id of the activity. */
export interface LaneRun {
  readonly workflowId: string;
  readonly runId: string;
}

/** The user of a lane, its row locked until the transaction ends. */
export interface LaneUser {
  readonly userId: string;
  readonly lane: number;
  readonly state: UserState;
  readonly generation: number;
  /** null: the deployment's default. */
  readonly idleMs: number | null;
  readonly turnCount: number;
  readonly lastTurnAt: Date | null;
}

interface LaneUserRow {
  user_id: string;
  lane: number;
  lane_run_id: string | null;
  state: UserState;
  generation: number;
  idle_ms: number | null;
  turn_count: number;
  last_turn_at: Date | null;
}

const LANE_COLUMNS = 'u.user_id, u.lane, u.lane_run_id, u.state, u.generation, u.idle_ms, u.turn_count, u.last_turn_at';

const lockLane = statement('lock_lane', `select ${LANE_COLUMNS} from users u where u.workflow_id = $1 for update`);
const takeLane = statement(
  'take_lane',
  'update users set lane = lane + 1, lane_run_id = $2 where user_id = $1 returning lane',
);

/** Locks the user's row and makes this run the lane's owner. undefined: no user has this lane. */
export async function contactLane(tx: Queryable, run: LaneRun): Promise<LaneUser | undefined> {
  const row = (await tx.query<LaneUserRow>(lockLane, [run.workflowId])).rows[0];
  if (row === undefined) return undefined;
  if (row.lane_run_id === run.runId) return toLaneUser(row);
  const { lane } = one(await tx.query<{ lane: number }>(takeLane, [row.user_id, run.runId]));
  return { ...toLaneUser(row), lane };
}

/**
 * Locks the user's row; this run must own the lane.
 * @throws InnkeeperError USER_UNKNOWN (no user has this lane), STALE_LANE
 */
export async function requireLane(tx: Queryable, run: LaneRun): Promise<LaneUser> {
  const row = (await tx.query<LaneUserRow>(lockLane, [run.workflowId])).rows[0];
  if (row === undefined) throw unknownUser();
  requireOwner(row, run);
  return toLaneUser(row);
}

/** A turn of the lane's user, its row locked too. */
export interface LaneTurn {
  readonly turnKey: string;
  readonly turnId: string;
  readonly position: number;
  readonly state: TurnState;
  readonly errorCode: ErrorCode | null;
  /** Number of the lane that runs it. */
  readonly lane: number | null;
  readonly isCancelRequested: boolean;
  readonly startedAt: Date | null;
  readonly deadlineAt: Date | null;
}

interface LaneTurnRow {
  turn_key: string;
  turn_id: string;
  position: number;
  turn_state: TurnState;
  error_code: ErrorCode | null;
  turn_lane: number | null;
  cancel_requested_at: Date | null;
  started_at: Date | null;
  deadline_at: Date | null;
}

// Both rows are locked by the one statement, so both are read as they are once the locks are held.
const lockLaneTurn = statement(
  'lock_lane_turn',
  `select ${LANE_COLUMNS}, t.turn_key::text, t.turn_id, t.position, t.state as turn_state, t.error_code, t.lane as turn_lane,
          t.cancel_requested_at, t.started_at, t.deadline_at
   from users u join turns t on t.user_id = u.user_id and t.turn_key = $2::bigint
   where u.workflow_id = $1 for update`,
);

/** As requireLane, with the turn that the step is about. @throws InnkeeperError TURN_UNKNOWN, STALE_LANE */
export async function requireLaneTurn(
  tx: Queryable,
  run: LaneRun & { readonly turnKey: string },
): Promise<{ user: LaneUser; turn: LaneTurn }> {
  const { rows } = await tx.query<LaneUserRow & LaneTurnRow>(lockLaneTurn, [run.workflowId, run.turnKey]);
  const row = rows[0];
  if (row === undefined) throw new InnkeeperError('TURN_UNKNOWN', 'The user of this lane has no such turn.');
  requireOwner(row, run);
  return {
    user: toLaneUser(row),
    turn: {
      turnKey: row.turn_key,
      turnId: row.turn_id,
      position: row.position,
      state: row.turn_state,
      errorCode: row.error_code,
      lane: row.turn_lane,
      isCancelRequested: row.cancel_requested_at !== null,
      startedAt: row.started_at,
      deadlineAt: row.deadline_at,
    },
  };
}

/** The running turn must have been taken up by this lane: what an earlier one left running is settled first. */
export function requireAdopted(user: LaneUser, turn: LaneTurn): void {
  if (turn.lane !== user.lane) throw staleLane();
}

function requireOwner(row: LaneUserRow, run: LaneRun): void {
  if (row.lane_run_id !== run.runId) throw staleLane();
}

function staleLane(): InnkeeperError {
  return new InnkeeperError('STALE_LANE', 'Another run of the lane owns the user.');
}

function toLaneUser(row: LaneUserRow): LaneUser {
  return {
    userId: row.user_id,
    lane: row.lane,
    state: row.state,
    generation: row.generation,
    idleMs: row.idle_ms,
    turnCount: row.turn_count,
    lastTurnAt: row.last_turn_at,
  };
}

const insertRejection = statement(
  'insert_rejection',
  `insert into rejected_messages (workflow_id, user_id, signal, turn_id, code, reason)
   values ($1, (select user_id from users where workflow_id = $1), $2, $3, $4, $5)`,
);

/** Records a message that reached a lane and could not be taken. */
export async function recordRejection(
  store: Queryable,
  message: {
    readonly workflowId: string;
    readonly signal: string;
    readonly turnId?: string | undefined;
    readonly code: ErrorCode;
    readonly reason: string;
  },
): Promise<void> {
  const { workflowId, signal, turnId, code, reason } = message;
  const { rowCount } = await store.query(insertRejection, [
    workflowId,
    toStorable(signal),
    turnId === undefined ? null : toStorable(turnId),
    code,
    toStorable(reason),
  ]);
  if (rowCount !== 1) throw new Error('a refusal was not recorded');
}
