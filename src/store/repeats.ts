/** Turns that the same request made one after the other. */
import { requestTurnId } from '../contracts/ids.js';
import { statement, type Queryable } from './sql.js';

export interface LatestTurn {
  /** Counted from 0. */
  readonly n: number;
  /** null: it is open. */
  readonly endedMsAgo: number | null;
}

// Each is there only where the one before it is, so that every look is one in the index.
const selectLatest = statement(
  'select_latest_turn_of_request',
  `with recursive made as (
     select 0 as n, ended_at from turns where user_id = $1 and turn_id = $2::text || 0
     union all
     select made.n + 1, t.ended_at from made join turns t on t.user_id = $1 and t.turn_id = $2::text || (made.n + 1)
   )
   select n, (extract(epoch from clock_timestamp() - ended_at) * 1000)::float8 as ended_ms_ago from made order by n desc limit 1`,
);

/** The latest turn of a request that is known by its digest; undefined: it has made none. */
export async function latestTurnOf(
  store: Queryable,
  { userId, digest }: { readonly userId: string; readonly digest: string },
): Promise<LatestTurn | undefined> {
  const values = [userId, requestTurnId({ digest, n: '' })];
  const [row] = (await store.query<{ n: number; ended_ms_ago: number | null }>(selectLatest, values)).rows;
  return row === undefined ? undefined : { n: row.n, endedMsAgo: row.ended_ms_ago };
}
