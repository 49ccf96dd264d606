/** The users: rows, locks and views. Admission of turns is admission.ts, what a lane does is lane.ts. */
import { isErrorCode, InnkeeperError, type ErrorCode } from '../contracts/errors.js';
import type { LanePhase } from '../contracts/lane-state.js';
import { withTransaction, type Store } from './pool.js';
import { one, statement, toIso, type Queryable } from './sql.js';

export type UserState = 'active' | 'destroying' | 'destroyed';

/** A user as backends and operators see it. Instants are ISO 8601. */
export interface UserView {
  readonly userId: string;
  readonly workflowId: string;
  readonly state: UserState;
  readonly machine: UserMachineView;
  /** Open turns, the running one included. */
  readonly queueLength: number;
  readonly runningTurnId: string | null;
  /** null: the deployment's default. */
  readonly idleMs: number | null;
  /** Turns that ran to an end, whatever the end. */
  readonly turnCount: number;
  readonly lastTurnAt: string | null;
  readonly lastErrorCode: ErrorCode | null;
  readonly createdAt: string;
  readonly destroyedAt: string | null;
}

export interface UserMachineView {
  readonly phase: LanePhase;
  /** 0: never had one. */
  readonly generation: number;
  readonly machineId: string | null;
  readonly missing: readonly string[];
  readonly sleptAt: string | null;
  readonly wokenAt: string | null;
  /** Something besides turns keeps it awake at least until then. */
  readonly leasedUntil: string | null;
  /** The person at its terminal. */
  readonly terminal: UserTerminalView | null;
}

export interface UserTerminalView {
  readonly holder: string;
  readonly takenAt: string;
  /** Renewed for as long as they are there. */
  readonly until: string;
}

interface UserViewRow {
  user_id: string;
  workflow_id: string;
  state: UserState;
  phase: LanePhase | null;
  generation: number;
  machine_id: string | null;
  missing: string[] | null;
  slept_at: Date | null;
  woken_at: Date | null;
  leased_until: Date | null;
  terminal_holder: string | null;
  terminal_taken_at: Date;
  terminal_until: Date;
  queue_length: number;
  running_turn_id: string | null;
  idle_ms: number | null;
  turn_count: number;
  last_turn_at: Date | null;
  last_error_code: string | null;
  created_at: Date;
  destroyed_at: Date | null;
}

const LIVE_LEASE = `l.user_id = m.user_id and l.generation = m.generation and l.ended_at is null
    and l.expires_at > clock_timestamp()`;
const VIEW = `
  select u.user_id, u.workflow_id, u.state, u.generation, u.idle_ms, u.turn_count, u.last_turn_at, u.last_error_code,
         u.created_at, u.destroyed_at, m.phase, m.machine_id, m.missing, m.slept_at, m.woken_at,
         leased.until as leased_until, terminal.holder as terminal_holder, terminal.taken_at as terminal_taken_at,
         terminal.expires_at as terminal_until,
         (select count(*) from turns t where t.user_id = u.user_id and t.state in ('queued', 'running')) as queue_length,
         (select t.turn_id from turns t where t.user_id = u.user_id and t.state = 'running') as running_turn_id
  from users u left join machines m on m.user_id = u.user_id and m.phase <> 'destroyed'
  left join lateral (select max(l.expires_at) as until from machine_leases l where ${LIVE_LEASE}) leased on true
  left join machine_leases terminal on terminal.lease_id = (
    select l.lease_id from machine_leases l where ${LIVE_LEASE} and l.kind = 'terminal')`;

const selectUser = statement('select_user', `${VIEW} where u.user_id = $1`);
const selectUserByWorkflow = statement('select_user_by_workflow', `${VIEW} where u.workflow_id = $1`);
const selectUsers = statement('select_users', `${VIEW} where u.user_id > $1 order by u.user_id limit $2`);

/** @throws InnkeeperError USER_UNKNOWN */
export async function getUser(store: Queryable, userId: string): Promise<UserView> {
  const { rows } = await store.query<UserViewRow>(selectUser, [userId]);
  if (rows[0] === undefined) throw unknownUser();
  return toView(rows[0]);
}

export async function findUserByWorkflowId(store: Queryable, workflowId: string): Promise<UserView | undefined> {
  const { rows } = await store.query<UserViewRow>(selectUserByWorkflow, [workflowId]);
  return rows[0] === undefined ? undefined : toView(rows[0]);
}

/** In order of their ids, those after `after`. */
export async function listUsers(
  store: Queryable,
  page: { readonly limit: number; readonly after?: string },
): Promise<UserView[]> {
  const { rows } = await store.query<UserViewRow>(selectUsers, [page.after ?? '', page.limit]);
  return rows.map(toView);
}

function toView(row: UserViewRow): UserView {
  return {
    userId: row.user_id,
    workflowId: row.workflow_id,
    state: row.state,
    machine: {
      phase: row.phase ?? phaseWithoutMachine(row.state),
      generation: row.generation,
      machineId: row.machine_id,
      missing: row.missing ?? [],
      sleptAt: toIso(row.slept_at),
      wokenAt: toIso(row.woken_at),
      leasedUntil: toIso(row.leased_until),
      terminal:
        row.terminal_holder === null
          ? null
          : { holder: row.terminal_holder, takenAt: toIso(row.terminal_taken_at), until: toIso(row.terminal_until) },
    },
    queueLength: row.queue_length,
    runningTurnId: row.running_turn_id,
    idleMs: row.idle_ms,
    turnCount: row.turn_count,
    lastTurnAt: toIso(row.last_turn_at),
    lastErrorCode: isErrorCode(row.last_error_code) ? row.last_error_code : null,
    createdAt: toIso(row.created_at),
    destroyedAt: toIso(row.destroyed_at),
  };
}

export function phaseWithoutMachine(state: UserState): LanePhase {
  return state === 'destroyed' ? 'destroyed' : 'none';
}

export function unknownUser(): InnkeeperError {
  return new InnkeeperError('USER_UNKNOWN', 'There is no such user.');
}

export function destroyedUser(state: UserState): InnkeeperError {
  const what = state === 'destroying' ? 'is being destroyed' : 'was destroyed';
  return new InnkeeperError('USER_DESTROYED', `The user ${what}.`);
}

const lockUserRow = statement('lock_user', 'select state, workflow_id from users where user_id = $1 for update');
// No constraint is named: of two who create a user at once, the later may meet the workflow id before it meets the user id.
const insertUser = statement(
  'insert_user',
  'insert into users (user_id, workflow_id, idle_ms) values ($1, $2, $3) on conflict do nothing',
);

export interface LockedUser {
  readonly state: UserState;
  readonly workflow_id: string;
}

/** Takes the user's row lock, which every change of what belongs to the user is made under. */
export async function lockUser(tx: Queryable, userId: string): Promise<LockedUser | undefined> {
  return (await tx.query<LockedUser>(lockUserRow, [userId])).rows[0];
}

/** The same for a user that may be new; `isNew` where this transaction made it. */
export async function lockOrCreateUser(
  tx: Queryable,
  user: { readonly userId: string; readonly workflowId: string; readonly idleMs?: number | undefined },
): Promise<LockedUser & { readonly isNew: boolean }> {
  const known = await lockUser(tx, user.userId);
  if (known !== undefined) return { ...known, isNew: false };
  const inserted = await tx.query(insertUser, [user.userId, user.workflowId, user.idleMs ?? null]);
  const locked = await lockUser(tx, user.userId);
  if (locked === undefined) throw new Error('a user vanished between its creation and its lock');
  return { ...locked, isNew: inserted.rowCount === 1 };
}

const reviveUser = statement(
  'revive_user',
  `update users set state = 'active', destroyed_at = null, workflow_id = $2, idle_ms = $3, last_error_code = null
   where user_id = $1 and state = 'destroyed'`,
);

/**
 * Makes the user, or makes a destroyed one anew: its counters and generations go on. An active user stays as it is.
 * @throws InnkeeperError USER_DESTROYED while its destruction is under way
 */
export function createUser(
  store: Store,
  user: { readonly userId: string; readonly workflowId: string; readonly idleMs?: number | undefined },
): Promise<{ created: boolean }> {
  return withTransaction(store, async (tx) => {
    const { state, isNew } = await lockOrCreateUser(tx, user);
    if (isNew || state === 'active') return { created: isNew };
    if (state === 'destroying') throw destroyedUser(state);
    const { rowCount } = await tx.query(reviveUser, [user.userId, user.workflowId, user.idleMs ?? null]);
    if (rowCount !== 1) throw new Error('a destroyed user could not be made anew under its own lock');
    return { created: true };
  });
}

const markDestroying = statement(
  'mark_destroying',
  `with marked as (
     update users set state = 'destroying' where user_id = $1 and state = 'active' returning state, workflow_id
   )
   select state, workflow_id from marked
   union all
   select state, workflow_id from users where user_id = $1 and not exists (select from marked)`,
);

/**
 * Commits the wish to destroy the user: nothing more is admitted. May be repeated. Answers the state from here on.
 * @throws InnkeeperError USER_UNKNOWN
 */
export async function requestDestroy(
  store: Queryable,
  userId: string,
): Promise<{ state: 'destroying' | 'destroyed'; workflowId: string }> {
  const answer = await store.query<LockedUser>(markDestroying, [userId]);
  if (answer.rowCount === 0) throw unknownUser();
  const row = one(answer);
  return { state: row.state === 'destroyed' ? 'destroyed' : 'destroying', workflowId: row.workflow_id };
}

const updateIdle = statement('update_idle', 'update users set idle_ms = $2 where user_id = $1');

/** Sets the user's own idle time, ms; null: the deployment's default again. @throws InnkeeperError USER_UNKNOWN */
export async function setIdle(
  store: Queryable,
  setting: { readonly userId: string; readonly idleMs: number | null },
): Promise<void> {
  const { rowCount } = await store.query(updateIdle, [setting.userId, setting.idleMs]);
  if (rowCount !== 1) throw unknownUser();
}
