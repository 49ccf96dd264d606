/** What the reconciler found: a row for as long as it lasts. Only the reconciler writes here. */
import type { ErrorCode } from '../contracts/errors.js';
import {
  type Decision,
  type FindingAction,
  type FindingKind,
  type FindingOutcome,
  type FindingReason,
} from '../contracts/reconcile.js';
import { FINDINGS_KEPT_MAX, FINDINGS_KEPT_MS_MAX } from '../contracts/limits.js';
import { one, statement, toIso, type Queryable } from './sql.js';

/** What a finding is about: together with its kind, the finding's identity. */
export interface FindingSubject {
  readonly kind: FindingKind;
  readonly subject: string;
  /** Lane of the user; null for a machine that nobody knows. */
  readonly workflowId: string | null;
}

export interface NotedFinding {
  /** undefined: not on record. */
  readonly findingId: string | undefined;
  readonly firstSeenAt: Date;
  /** By Postgres's clock, as `firstSeenAt`. */
  readonly now: Date;
}

interface NotedRow {
  finding_id: string | null;
  first_seen_at: Date;
  now: Date;
}

const note = statement(
  'note_finding',
  `insert into reconcile_findings (kind, subject, user_id, reconcile_id, action, outcome)
   values ($1, $2, (select user_id from users where workflow_id = $3), $4, 'wait', 'pending')
   on conflict (kind, subject, coalesce(user_id, '')) where resolved_at is null do update set
     times_seen = reconcile_findings.times_seen + (reconcile_findings.reconcile_id <> excluded.reconcile_id)::integer,
     reconcile_id = excluded.reconcile_id, last_seen_at = clock_timestamp(), outcome = 'pending'
   returning finding_id::text, first_seen_at, clock_timestamp() as now`,
);

/** Records that it was found. Found again, by the same reconcile or a later one, it is the same row. */
export async function noteFinding(
  store: Queryable,
  finding: FindingSubject & { readonly reconcileId: string },
): Promise<NotedFinding> {
  const { kind, subject, workflowId, reconcileId } = finding;
  return toNoted(one(await store.query<NotedRow>(note, [kind, subject, workflowId, reconcileId])));
}

const find = statement(
  'find_finding',
  `select f.finding_id::text, coalesce(f.first_seen_at, clock_timestamp()) as first_seen_at, clock_timestamp() as now
   from (select 1) as nothing
   left join reconcile_findings f on f.kind = $1 and f.subject = $2 and f.resolved_at is null
     and coalesce(f.user_id, '') = coalesce((select user_id from users where workflow_id = $3), '')`,
);

/** The same without recording anything; one that is not on record was first seen now. */
export async function peekFinding(
  store: Queryable,
  { kind, subject, workflowId }: FindingSubject,
): Promise<NotedFinding> {
  return toNoted(one(await store.query<NotedRow>(find, [kind, subject, workflowId])));
}

function toNoted({ finding_id: findingId, first_seen_at: firstSeenAt, now }: NotedRow): NotedFinding {
  return { findingId: findingId ?? undefined, firstSeenAt, now };
}

const settle = statement(
  'settle_finding',
  `update reconcile_findings set action = $2, reason = $3, outcome = $4, code = $5,
     acted_at = case when $4 in ('done', 'failed') then clock_timestamp() else acted_at end
   where finding_id = $1::bigint`,
);

export async function settleFinding(
  store: Queryable,
  finding: Decision & {
    readonly findingId: string;
    readonly outcome: Exclude<FindingOutcome, 'dry_run'>;
    readonly code: ErrorCode | null;
  },
): Promise<void> {
  const { findingId, action, reason, outcome, code } = finding;
  await store.query(settle, [findingId, action, reason, outcome, code]);
}

const keepKey = statement(
  'finding_request_key',
  `update reconcile_findings set
     request_key = case when request_key is not null and request_if_match is not distinct from $2 then request_key else $3 end,
     request_if_match = $2
   where finding_id = $1::bigint
   returning request_key`,
);

/** The stored idempotency key of the request that destroys the finding's machine at this revision: the same for each try. */
export async function findingRequestKey(
  store: Queryable,
  request: { readonly findingId: string; readonly ifMatch: string | undefined; readonly newKey: () => string },
): Promise<string> {
  const values = [request.findingId, request.ifMatch ?? null, request.newKey()];
  return one(await store.query<{ request_key: string }>(keepKey, values)).request_key;
}

const resolve = statement(
  'resolve_findings',
  `update reconcile_findings set resolved_at = clock_timestamp()
   where resolved_at is null and last_seen_at < $1 and kind = any($2::text[])`,
);
const prune = statement(
  'prune_findings',
  `delete from reconcile_findings where resolved_at is not null
     and (resolved_at < clock_timestamp() - $1 * interval '1 millisecond'
          or finding_id in (select finding_id from reconcile_findings where resolved_at is not null
                            order by resolved_at desc, finding_id desc offset $2))`,
);

/** Closes what was not seen since the instant, of these kinds, and forgets what was closed long ago. Answers how many it closed. */
export async function resolveFindings(
  store: Queryable,
  unseen: { readonly since: Date; readonly kinds: readonly FindingKind[] },
): Promise<number> {
  const { rowCount } = await store.query(resolve, [unseen.since, unseen.kinds]);
  await store.query(prune, [FINDINGS_KEPT_MS_MAX, FINDINGS_KEPT_MAX]);
  return rowCount;
}

/** A finding as operators see it. Instants are ISO 8601. */
export interface FindingView {
  readonly kind: FindingKind;
  readonly subject: string;
  readonly userId: string | null;
  readonly action: FindingAction;
  readonly reason: FindingReason | null;
  readonly outcome: FindingOutcome;
  readonly code: ErrorCode | null;
  readonly timesSeen: number;
  readonly firstSeenAt: string;
  readonly lastSeenAt: string;
  readonly actedAt: string | null;
  readonly resolvedAt: string | null;
}

type FindingRow = Omit<FindingView, 'firstSeenAt' | 'lastSeenAt' | 'actedAt' | 'resolvedAt'> & {
  readonly firstSeenAt: Date;
  readonly lastSeenAt: Date;
  readonly actedAt: Date | null;
  readonly resolvedAt: Date | null;
};

const list = statement(
  'list_findings',
  `select kind, subject, user_id as "userId", action, reason, outcome, code, times_seen as "timesSeen",
     first_seen_at as "firstSeenAt", last_seen_at as "lastSeenAt", acted_at as "actedAt", resolved_at as "resolvedAt"
   from reconcile_findings where resolved_at is null or $1
   order by resolved_at is not null, last_seen_at desc, finding_id desc limit $2`,
);

/** Those that last, the newest first; then, if wanted, those that are over. */
export async function listFindings(
  store: Queryable,
  page: { readonly withResolved: boolean; readonly limit: number },
): Promise<FindingView[]> {
  const { rows } = await store.query<FindingRow>(list, [page.withResolved, page.limit]);
  return rows.map((row) => ({
    ...row,
    firstSeenAt: toIso(row.firstSeenAt),
    lastSeenAt: toIso(row.lastSeenAt),
    actedAt: toIso(row.actedAt),
    resolvedAt: toIso(row.resolvedAt),
  }));
}
