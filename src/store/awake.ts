/** Awake intervals of machines, by the provider's timestamps: what metering adds up. */
import { statement, type Queryable } from './sql.js';

export interface AwakeAt {
  readonly userId: string;
  readonly generation: number;
  /** By the provider's clock. */
  readonly at: Date;
}

// An interval never begins before the last one ended, whatever order the provider's answers came in. One that began at this very
// instant and is over is the same answer, seen again.
const open = statement(
  'open_awake',
  `insert into awake_intervals (user_id, generation, started_at)
   select $1, $2, greatest($3::timestamptz, (select max(ended_at) from awake_intervals where user_id = $1 and generation = $2))
   where not exists (
     select from awake_intervals where user_id = $1 and generation = $2
       and (ended_at is null or (started_at = $3 and ended_at > started_at)))
   on conflict (user_id, generation, started_at) do update set ended_at = null`,
);
const close = statement(
  'close_awake',
  `update awake_intervals set ended_at = greatest(started_at, $3)
   where user_id = $1 and generation = $2 and ended_at is null`,
);

/** Awake from `at` on; does nothing where an interval is open. Answers whether one was opened. */
export async function openAwake(store: Queryable, { userId, generation, at }: AwakeAt): Promise<boolean> {
  return (await store.query(open, [userId, generation, at])).rowCount === 1;
}

/** Awake until `at`; does nothing where no interval is open. Answers whether one was closed. */
export async function closeAwake(store: Queryable, { userId, generation, at }: AwakeAt): Promise<boolean> {
  return (await store.query(close, [userId, generation, at])).rowCount === 1;
}
