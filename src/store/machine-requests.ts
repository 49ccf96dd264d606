/** Idempotency keys of requests to the provider: one per request (kind and If-Match), stored before it is sent, reused by its retries. */
import { requireLane, type LaneRun } from './lane.js';
import { withTransaction, type Store } from './pool.js';
import { one, statement } from './sql.js';

export type MachineRequestKind = 'wake' | 'sleep' | 'destroy' | 'probe' | 'bootstrap';

const settleOthers = statement(
  'settle_other_requests',
  `update machine_requests set settled_at = clock_timestamp()
   where user_id = $1 and generation = $2 and kind = $3 and settled_at is null and if_match is distinct from $4::text`,
);
const openRequest = statement(
  'open_request',
  `with existing as (
     select idempotency_key from machine_requests
     where user_id = $1 and generation = $2 and kind = $3 and settled_at is null
   ), inserted as (
     insert into machine_requests (idempotency_key, user_id, generation, kind, if_match)
     select $5, $1, $2, $3, $4 where not exists (select from existing)
     returning idempotency_key
   )
   select idempotency_key, false as is_new from existing union all select idempotency_key, true from inserted`,
);

/**
 * The stored key of the request to send. With the If-Match of an open request it is that one's; with another If-Match it is a
 * new request, and the old one is over.
 * @throws InnkeeperError STALE_LANE
 */
export function requestKey(
  store: Store,
  request: LaneRun & {
    readonly generation: number;
    readonly kind: MachineRequestKind;
    /** The revision that the request is conditional on; undefined where there is none. */
    readonly ifMatch: string | undefined;
    readonly newKey: () => string;
  },
): Promise<{ key: string; isNew: boolean }> {
  const { generation, kind, ifMatch, newKey } = request;
  return withTransaction(store, async (tx) => {
    const { userId } = await requireLane(tx, request);
    const of = [userId, generation, kind, ifMatch ?? null];
    const [, answer] = await Promise.all([
      tx.query(settleOthers, of),
      tx.query<{ idempotency_key: string; is_new: boolean }>(openRequest, [...of, newKey()]),
    ]);
    const row = one(answer);
    return { key: row.idempotency_key, isNew: row.is_new };
  });
}

const settle = statement(
  'settle_request',
  `update machine_requests set settled_at = clock_timestamp()
   where idempotency_key = $1 and user_id = $2 and settled_at is null`,
);

/** The request was answered for good: the next one of its kind gets a key of its own. May be repeated. @throws InnkeeperError STALE_LANE */
export function settleRequest(store: Store, request: LaneRun & { readonly key: string }): Promise<void> {
  return withTransaction(store, async (tx) => {
    const { userId } = await requireLane(tx, request);
    await tx.query(settle, [request.key, userId]);
  });
}
