/** Metering: what a user's machines have used, added up from the ledger by the provider's timestamps. */
import { statement, type Queryable } from './sql.js';

/** Totals of one user up to an instant. */
export interface UserUsage {
  readonly userId: string;
  readonly awakeSeconds: number;
  readonly vcpuSeconds: number;
  /** Storage: GiB times the seconds that the machine existed, asleep or awake. */
  readonly gibSeconds: number;
}

// What is still going on counts up to `at`; what began after it does not count.
const selectUsage = statement(
  'select_usage',
  `with awake as (
     select i.user_id, sum(s.seconds) as seconds, sum(s.seconds * m.vcpu) as vcpu_seconds
     from awake_intervals i join machines m using (user_id, generation),
       lateral (select greatest(0, extract(epoch from least(coalesce(i.ended_at, $2), $2) - i.started_at))::float8 as seconds) s
     where $1::text is null or i.user_id = $1
     group by i.user_id
   ), stored as (
     select m.user_id,
       sum(greatest(0, extract(epoch from least(coalesce(m.existed_until, $2), $2) - m.existed_from))::float8 * m.storage_gib)
         as gib_seconds
     from machines m where m.existed_from is not null and ($1::text is null or m.user_id = $1)
     group by m.user_id
   )
   select u.user_id as "userId", coalesce(a.seconds, 0) as "awakeSeconds", coalesce(a.vcpu_seconds, 0) as "vcpuSeconds",
          coalesce(s.gib_seconds, 0) as "gibSeconds"
   from users u left join awake a using (user_id) left join stored s using (user_id)
   where $1::text is null or u.user_id = $1
   order by u.user_id`,
);

/** Usage of every user, or of one, up to `at` by the provider's clock; in order of user ids. */
export async function usage(
  store: Queryable,
  of: { readonly userId?: string | undefined; readonly at: Date },
): Promise<UserUsage[]> {
  return (await store.query<UserUsage>(selectUsage, [of.userId ?? null, of.at])).rows;
}
