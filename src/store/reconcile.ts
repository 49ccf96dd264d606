/** What the reconciler reads of ledger and record, a page at a time. It writes to neither; what it finds is findings.ts. */
import type { MachineRowPhase } from './machines.js';
import { one, statement, type Queryable } from './sql.js';
import type { UserState } from './users.js';

const readClock = statement('read_clock', 'select clock_timestamp() as now');

/** Postgres's clock: all instants that are compared come from it. */
export async function now(store: Queryable): Promise<Date> {
  return one(await store.query<{ now: Date }>(readClock, [])).now;
}

/** A machine of the provider's list as the ledger has it. */
export interface KnownMachine {
  readonly machineId: string;
  readonly workflowId: string;
  readonly generation: number;
  readonly phase: MachineRowPhase;
}

export interface LedgerView {
  readonly known: readonly KnownMachine[];
  /** When the oldest create was begun whose machine is not known yet; null: there is none. */
  readonly oldestFlightAt: Date | null;
  readonly isEmpty: boolean;
}

// One statement, so one snapshot: a create that ends between two would be in neither.
const selectKnown = statement(
  'select_known_machines',
  `select f.at as oldest_flight_at, not exists (select from machines) as is_empty,
     m.machine_id, m.generation, m.phase, u.workflow_id
   from (select min(created_at) as at from machines where machine_id is null and phase <> 'destroyed') f
   left join (machines m join users u using (user_id)) on m.machine_id = any($1::text[])`,
);

interface KnownRow {
  oldest_flight_at: Date | null;
  is_empty: boolean;
  machine_id: string | null;
  generation: number;
  phase: MachineRowPhase;
  workflow_id: string;
}

/** What the ledger says of machines by their ids, all spellings of each given, and of creates in flight at the same instant. */
export async function ledgerOf(store: Queryable, machineIds: readonly string[]): Promise<LedgerView> {
  const { rows } = await store.query<KnownRow>(selectKnown, [machineIds]);
  const known = rows.flatMap(({ machine_id: machineId, generation, phase, workflow_id: workflowId }) =>
    machineId === null ? [] : [{ machineId, generation, phase, workflowId }],
  );
  return { known, oldestFlightAt: rows[0]?.oldest_flight_at ?? null, isEmpty: rows[0]?.is_empty ?? true };
}

/** A user with whatever may be wrong about them. Instants by Postgres's clock. */
export interface UserRow {
  readonly workflowId: string;
  readonly state: UserState;
  /** null: the deployment's default. */
  readonly idleMs: number | null;
  readonly now: Date;
  /** When the newest event of the user was written. */
  readonly lastEventAt: Date | null;
  readonly machine: {
    readonly machineId: string | null;
    readonly generation: number;
    readonly phase: MachineRowPhase;
    readonly createdAt: Date;
    /** Its awake interval is open. */
    readonly isMetered: boolean;
    /** A person is at its terminal, or a transfer goes on. */
    readonly isLeased: boolean;
  } | null;
  /** The turn that runs, else the one that waits first. */
  readonly turn: {
    readonly turnId: string;
    readonly state: 'queued' | 'running';
    readonly cancelRequestedAt: Date | null;
  } | null;
}

interface UserRowRow {
  workflow_id: string;
  state: UserState;
  idle_ms: number | null;
  now: Date;
  last_event_at: Date | null;
  generation: number | null;
  machine_id: string | null;
  phase: MachineRowPhase;
  machine_created_at: Date;
  is_metered: boolean;
  is_leased: boolean;
  turn_id: string | null;
  turn_state: 'queued' | 'running';
  cancel_requested_at: Date | null;
}

// By the lane's id and not by the user's: where the one hides the other, a cursor in Temporal's history must not tell it.
const USERS = `
  select u.workflow_id, u.state, u.idle_ms, clock_timestamp() as now,
    (select e.at from turn_events e where e.user_id = u.user_id and e.seq = u.event_seq) as last_event_at,
    m.generation, m.machine_id, m.phase, m.created_at as machine_created_at,
    exists (select from awake_intervals a
            where a.user_id = m.user_id and a.generation = m.generation and a.ended_at is null) as is_metered,
    exists (select from machine_leases l
            where l.user_id = m.user_id and l.generation = m.generation and l.ended_at is null
              and l.expires_at > clock_timestamp()) as is_leased,
    t.turn_id, t.state as turn_state, t.cancel_requested_at
  from users u
  left join machines m on m.user_id = u.user_id and m.phase <> 'destroyed'
  left join lateral (
    select * from turns o where o.user_id = u.user_id and o.state in ('queued', 'running')
    order by o.state = 'running' desc, o.position limit 1
  ) t on true`;
const selectUsers = statement(
  'select_users_to_reconcile',
  `${USERS}
   where u.workflow_id > $1 and (m.user_id is not null or t.turn_id is not null or u.state = 'destroying')
   order by u.workflow_id limit $2`,
);
const selectUser = statement('select_user_to_reconcile', `${USERS} where u.workflow_id = $1`);

/** Users who have a machine or an open turn, or are being destroyed, in order of their lanes' ids. */
export async function usersToReconcile(
  store: Queryable,
  page: { readonly after: string; readonly limit: number },
): Promise<UserRow[]> {
  return (await store.query<UserRowRow>(selectUsers, [page.after, page.limit])).rows.map(toUserRow);
}

export async function userToReconcile(store: Queryable, workflowId: string): Promise<UserRow | undefined> {
  const row = (await store.query<UserRowRow>(selectUser, [workflowId])).rows[0];
  return row === undefined ? undefined : toUserRow(row);
}

function toUserRow(row: UserRowRow): UserRow {
  const { generation, turn_id: turnId } = row;
  return {
    workflowId: row.workflow_id,
    state: row.state,
    idleMs: row.idle_ms,
    now: row.now,
    lastEventAt: row.last_event_at,
    machine:
      generation === null
        ? null
        : {
            machineId: row.machine_id,
            generation,
            phase: row.phase,
            createdAt: row.machine_created_at,
            isMetered: row.is_metered,
            isLeased: row.is_leased,
          },
    turn: turnId === null ? null : { turnId, state: row.turn_state, cancelRequestedAt: row.cancel_requested_at },
  };
}

const selectUserIds = statement(
  'select_user_ids_of_lanes',
  'select workflow_id, user_id from users where workflow_id = any($1::text[])',
);

/** User ids by the workflow ids of their lanes. */
export async function userIdsOf(store: Queryable, workflowIds: readonly string[]): Promise<Map<string, string>> {
  const { rows } = await store.query<{ workflow_id: string; user_id: string }>(selectUserIds, [workflowIds]);
  return new Map(rows.map((row) => [row.workflow_id, row.user_id]));
}
