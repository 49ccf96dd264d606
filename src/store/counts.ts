/** How many there are, over all users: for metrics. */
import type { LanePhase } from '../contracts/lane-state.js';
import type { LeaseKind } from './leases.js';
import { statement, type Queryable } from './sql.js';

export interface Counts {
  /** Live machines by phase; phases that none is in are left out. */
  readonly machines: ReadonlyMap<LanePhase, number>;
  /** Open turns by state, likewise. */
  readonly turns: ReadonlyMap<'queued' | 'running', number>;
  /** Live leases by kind, likewise. */
  readonly leases: ReadonlyMap<LeaseKind, number>;
}

type CountRow =
  | { readonly kind: 'machine'; readonly state: LanePhase; readonly count: number }
  | { readonly kind: 'turn'; readonly state: 'queued' | 'running'; readonly count: number }
  | { readonly kind: 'lease'; readonly state: LeaseKind; readonly count: number };

// The conditions are those of partial indexes: what is over is not read. A lease that died has no end until somebody meets it.
const count = statement(
  'count_open',
  `select 'machine' as kind, phase as state, count(*) from machines where phase <> 'destroyed' group by phase
   union all
   select 'turn', state, count(*) from turns where state in ('queued', 'running') group by state
   union all
   select 'lease', kind, count(*) from machine_leases where ended_at is null and expires_at > clock_timestamp() group by kind`,
);

/** @throws InnkeeperError STORE_UNAVAILABLE, STORE_NOT_MIGRATED */
export async function countOpen(store: Queryable): Promise<Counts> {
  const { rows } = await store.query<CountRow>(count, []);
  const machines = new Map<LanePhase, number>();
  const turns = new Map<'queued' | 'running', number>();
  const leases = new Map<LeaseKind, number>();
  for (const row of rows) {
    if (row.kind === 'machine') machines.set(row.state, row.count);
    else if (row.kind === 'turn') turns.set(row.state, row.count);
    else leases.set(row.state, row.count);
  }
  return { machines, turns, leases };
}
