/** Which turn a lane goes on with: the one that runs, else the lowest position that waits. */
import type { CallRef, LaneSettings, LaneView, OpenNextTurnResult, OpenTurn } from '../contracts/activities.js';
import { InnkeeperError } from '../contracts/errors.js';
import type { LanePhase } from '../contracts/lane-state.js';
import { appendEvent } from './events.js';
import { contactLane, requireLane, requireLaneTurn, type LaneRun, type LaneUser } from './lane.js';
import { settingsOf, startTurn } from './open-turn.js';
import { withTransaction, type Store, type Tx } from './pool.js';
import { one, statement } from './sql.js';
import { phaseWithoutMachine } from './users.js';

export interface OpenNextTurnOptions extends LaneRun {
  /** True at a run's first contact, and after STALE_LANE: makes this run the owner of the lane. */
  readonly isContact: boolean;
  readonly defaults: LaneSettings;
}

interface NextRow {
  phase: LanePhase | null;
  machine_generation: number | null;
  machine_id: string | null;
  turn_key: string | null;
  turn_id: string;
  position: number;
  state: 'queued' | 'running';
  step: number;
  turn_lane: number | null;
  deadline_at: Date | null;
  is_overdue: boolean;
  is_cancel_requested: boolean;
  is_answered: boolean;
  has_unsettled: boolean;
  calls: CallRef[];
}

// A running turn was admitted before every waiting one, or was moved before it: either way it comes first.
const selectNext = statement(
  'select_next_turn',
  `select m.phase, m.generation as machine_generation, m.machine_id,
     t.turn_key::text, t.turn_id, t.position, t.state, t.step, t.lane as turn_lane, t.deadline_at,
     coalesce(t.deadline_at <= clock_timestamp(), false) as is_overdue,
     t.cancel_requested_at is not null as is_cancel_requested,
     exists (select from steps s where s.turn_key = t.turn_key and s.step = t.step and s.answered_at is not null) as is_answered,
     exists (select from tool_calls c
             where c.turn_key = t.turn_key and c.submitted_at is not null and c.outcome is null) as has_unsettled,
     coalesce((select jsonb_agg(jsonb_build_object('index', c.index, 'tool', c.tool, 'isSettled', c.outcome is not null) order by c.index)
               from tool_calls c where c.turn_key = t.turn_key and c.step = t.step), '[]') as calls
   from users u
   left join machines m on m.user_id = u.user_id and m.phase <> 'destroyed'
   left join lateral (
     select * from turns o where o.user_id = u.user_id and o.state in ('queued', 'running')
     order by o.state = 'running' desc, o.position limit 1
   ) t on u.state = 'active'
   where u.user_id = $1`,
);

const adopt = statement('adopt_turn', `update turns set lane = $2 where turn_key = $1::bigint and state = 'running'`);

/**
 * Answers the lane's view of its user and the turn to go on with, which runs under this lane from here on.
 * @throws InnkeeperError STALE_LANE
 */
export function openNextTurn(store: Store, options: OpenNextTurnOptions): Promise<OpenNextTurnResult> {
  return withTransaction(store, async (tx) => {
    const user = options.isContact ? await contactLane(tx, options) : await requireLaneIfKnown(tx, options);
    if (user === undefined) return { lane: viewOfUnknown(options), turn: null };
    const row = one(await tx.query<NextRow>(selectNext, [user.userId]));
    const lane = viewOf(user, row, options);
    if (row.turn_key === null) return { lane, turn: null };
    const next = { ...row, turn_key: row.turn_key };
    return {
      lane,
      turn: next.state === 'queued' ? await start(tx, user, next, options) : await resume(tx, user, next),
    };
  });
}

async function requireLaneIfKnown(tx: Tx, run: LaneRun): Promise<LaneUser | undefined> {
  try {
    return await requireLane(tx, run);
  } catch (error) {
    if (InnkeeperError.is(error) && error.code === 'USER_UNKNOWN') return undefined;
    throw error;
  }
}

type KnownTurn = NextRow & { turn_key: string };

async function start(tx: Tx, user: LaneUser, row: KnownTurn, options: OpenNextTurnOptions): Promise<OpenTurn> {
  const started = await startTurn(tx, user, { turnKey: row.turn_key, wallMs: options.defaults.wallMs });
  if (started === undefined) throw new Error('the next turn could not be opened under its own lock');
  return {
    ...refOf(row),
    step: row.step,
    calls: null,
    deadlineAtMs: started.deadlineAt.getTime(),
    mustSettle: false,
    mustClose: null,
  };
}

async function resume(tx: Tx, user: LaneUser, row: KnownTurn): Promise<OpenTurn> {
  const isTakenOver = row.turn_lane !== user.lane;
  const mustSettle = isTakenOver && row.has_unsettled;
  // With a command still out there the turn stays the earlier lane's, so that no step of this one begins before it is settled.
  if (isTakenOver && !mustSettle) await takeUp(tx, user, row.turn_key, row.step);
  if (row.deadline_at === null) throw new Error('a running turn has no deadline');
  return {
    ...refOf(row),
    step: row.step,
    calls: row.is_answered ? row.calls : null,
    deadlineAtMs: row.deadline_at.getTime(),
    mustSettle,
    mustClose: row.is_cancel_requested ? 'cancelled' : row.is_overdue ? 'deadline' : null,
  };
}

function refOf(row: KnownTurn): { turnKey: string; turnId: string; position: number } {
  return { turnKey: row.turn_key, turnId: row.turn_id, position: row.position };
}

async function takeUp(tx: Tx, user: LaneUser, turnKey: string, step: number): Promise<void> {
  const { rowCount } = await tx.query(adopt, [turnKey, user.lane]);
  if (rowCount !== 1) throw new Error('a running turn could not be taken up under its own lock');
  appendEvent(tx, { userId: user.userId, turnKey, body: { type: 'turn.resumed', step } });
}

const selectTurnStep = statement(
  'select_turn_step',
  `select step, exists (select from tool_calls c where c.turn_key = t.turn_key and c.submitted_at is not null and c.outcome is null)
     as has_unsettled
   from turns t where turn_key = $1::bigint`,
);

/**
 * Takes up a turn of an earlier lane once its commands are settled. Answers false, and does nothing, where the turn is over or
 * a submitted command still has no outcome; true also where the turn is this lane's already.
 * @throws InnkeeperError STALE_LANE, TURN_UNKNOWN
 */
export async function adoptTurn(tx: Tx, run: LaneRun & { readonly turnKey: string }): Promise<boolean> {
  const { user, turn } = await requireLaneTurn(tx, run);
  if (turn.state !== 'running') return false;
  if (turn.lane === user.lane) return true;
  const { step, has_unsettled: hasUnsettled } = one(
    await tx.query<{ step: number; has_unsettled: boolean }>(selectTurnStep, [run.turnKey]),
  );
  if (hasUnsettled) return false;
  await takeUp(tx, user, run.turnKey, step);
  return true;
}

function viewOf(user: LaneUser, row: NextRow, options: OpenNextTurnOptions): LaneView {
  return {
    userState: user.state,
    phase: row.phase ?? phaseWithoutMachine(user.state),
    generation: row.machine_generation ?? user.generation,
    machineId: row.machine_id ?? undefined,
    turnCount: user.turnCount,
    ...settingsOf(user, options.defaults),
    lastTurnAtMs: user.lastTurnAt?.getTime() ?? null,
  };
}

function viewOfUnknown(options: OpenNextTurnOptions): LaneView {
  return {
    userState: 'unknown',
    phase: 'none',
    generation: 0,
    machineId: undefined,
    turnCount: 0,
    ...options.defaults,
    lastTurnAtMs: null,
  };
}
