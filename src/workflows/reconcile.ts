/**
 * The reconciler: compares the provider's list, the ledger, the record and lanes, a page at a time. Started by a schedule, or by
 * hand. Where the provider's list cannot be had whole, nothing is said of machines, and turns are looked after all the same.
 */
import {
  continueAsNew,
  isCancellation,
  proxyActivities,
  workflowInfo,
  type ActivityOptions,
} from '@temporalio/workflow';
import {
  RECONCILE_DESTROYS_MAX,
  RECONCILE_EVENTS_MAX,
  RECONCILE_PAGES_MAX,
  RECONCILE_REPORTED_MAX,
} from '../contracts/limits.js';
import {
  parseReconcileInput,
  type ReconcileActivities,
  type ReconcileProgress,
  type ReconcileRef,
  type ReconcileReport,
  type ReportedFinding,
} from '../contracts/reconcile.js';
import { reconcileOptions } from './activity-options.js';
import { codeOf } from './failures.js';

const steps = proxyActivities<ReconcileActivities>(reconcileOptions);
const withSummary = (summary: string): ActivityOptions => ({ ...reconcileOptions, summary });

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export async function reconcile(given?: unknown): Promise<ReconcileReport> {
  const input = parseReconcileInput(given);
  const progress: Mutable<ReconcileProgress> = { ...(input.progress ?? (await begin(input.isDryRun))) };
  const ref: ReconcileRef = {
    reconcileId: progress.reconcileId,
    startedAtMs: progress.startedAtMs,
    isDryRun: progress.isDryRun,
  };

  function take(findings: readonly ReportedFinding[]): void {
    const room = Math.max(0, RECONCILE_REPORTED_MAX - progress.findings.length);
    progress.findings = [...progress.findings, ...findings.slice(0, room)];
    progress.findingCount += findings.length;
    progress.pages += 1;
  }

  async function rollOverIfLong(): Promise<void> {
    const { historyLength, continueAsNewSuggested } = workflowInfo();
    if (historyLength < RECONCILE_EVENTS_MAX && !continueAsNewSuggested) return;
    await continueAsNew<typeof reconcile>({ isDryRun: progress.isDryRun, progress });
  }

  /** True where there is more of it. */
  async function nextOfProvider(): Promise<boolean> {
    const { at: cursor, destroysLeft } = progress;
    const summary = withSummary(`page ${progress.pages + 1} · the provider's list`);
    const page = await steps.reconcileProvider.executeWithOptions(summary, [{ ...ref, cursor, destroysLeft }]);
    take(page.findings);
    progress.machines += page.machines;
    progress.destroysLeft -= page.destroyed;
    progress.at = page.nextCursor;
    // A list that goes in a circle is no list: what was not on it may exist all the same.
    if (page.nextCursor !== null && (page.nextCursor === cursor || progress.pages >= RECONCILE_PAGES_MAX)) {
      progress.listing = 'PROVIDER_REFUSED';
      return false;
    }
    return page.nextCursor !== null;
  }

  while (progress.stage === 'provider') {
    let hasMore = false;
    try {
      hasMore = await nextOfProvider();
    } catch (error) {
      if (isCancellation(error)) throw error;
      progress.listing = codeOf(error);
    }
    if (!hasMore) {
      progress.stage = 'users';
      progress.at = null;
    }
    await rollOverIfLong();
  }

  const isListingWhole = progress.listing === 'whole';
  for (;;) {
    const summary = withSummary(`page ${progress.pages + 1} · users`);
    const input = { ...ref, after: progress.at ?? '', isListingWhole };
    const page = await steps.reconcileUsers.executeWithOptions(summary, [input]);
    take(page.findings);
    progress.users += page.users;
    progress.at = page.next;
    if (page.next === null) break;
    await rollOverIfLong();
  }

  const summary = withSummary('close what was not found again');
  const { resolved } = await steps.endReconcile.executeWithOptions(summary, [{ ...ref, isListingWhole }]);
  const { reconcileId, isDryRun, listing, machines, users, findings, findingCount } = progress;
  return { reconcileId, isDryRun, listing, machines, users, resolved, findings, findingCount };
}

async function begin(isDryRun: boolean): Promise<ReconcileProgress> {
  const { startedAtMs } = await steps.beginReconcile.executeWithOptions(withSummary('take the time'), []);
  return {
    reconcileId: workflowInfo().firstExecutionRunId,
    startedAtMs,
    isDryRun,
    stage: 'provider',
    at: null,
    pages: 0,
    destroysLeft: RECONCILE_DESTROYS_MAX,
    listing: 'whole',
    machines: 0,
    users: 0,
    findings: [],
    findingCount: 0,
  };
}
