/** What the provider's list said of machines of the ledger, kept for as long as one reconcile compares it. */
import { statement, type Queryable } from './sql.js';

export interface Sighting {
  /** The machine's id in the one spelling that sightings are kept under. */
  readonly machineKey: string;
  readonly phase: string;
  /** It is being destroyed. */
  readonly isEnding: boolean;
}

const record = statement(
  'record_sightings',
  `insert into reconcile_sightings (reconcile_id, machine_key, phase, is_ending)
   select distinct on (s.machine_key) $1, s.machine_key, s.phase, s.is_ending
   from unnest($2::text[], $3::text[], $4::boolean[]) as s (machine_key, phase, is_ending)
   on conflict (reconcile_id, machine_key) do update set phase = excluded.phase, is_ending = excluded.is_ending`,
);

/** May be repeated, as a page of the list may be. */
export async function recordSightings(
  store: Queryable,
  seen: { readonly reconcileId: string; readonly sightings: readonly Sighting[] },
): Promise<void> {
  const { reconcileId, sightings } = seen;
  if (sightings.length === 0) return;
  await store.query(record, [
    reconcileId,
    sightings.map(({ machineKey }) => machineKey),
    sightings.map(({ phase }) => phase),
    sightings.map(({ isEnding }) => isEnding),
  ]);
}

const find = statement(
  'find_sightings',
  `select machine_key as "machineKey", phase, is_ending as "isEnding"
   from reconcile_sightings where reconcile_id = $1 and machine_key = any($2::text[])`,
);

export async function findSightings(
  store: Queryable,
  of: { readonly reconcileId: string; readonly machineKeys: readonly string[] },
): Promise<Map<string, Sighting>> {
  const { rows } = await store.query<Sighting>(find, [of.reconcileId, of.machineKeys]);
  return new Map(rows.map((row) => [row.machineKey, row]));
}

/** A reconcile that lost its worker for good has left some behind. */
const forget = statement(
  'forget_sightings',
  `delete from reconcile_sightings where reconcile_id = $1 or at < clock_timestamp() - interval '1 day'`,
);

export async function forgetSightings(store: Queryable, reconcileId: string): Promise<void> {
  await store.query(forget, [reconcileId]);
}
