/**
 * The reconciler's words: what it may find, what it does about it, and its activities. Inputs and results hold ids of lanes,
 * machines and turns, counts and codes; never a user id, which a deployment may want to keep out of Temporal.
 */
import { isErrorCode, type ErrorCode } from './errors.js';

/** What can be wrong; docs/operations.md says of each what it means and what to do. */
export const FINDING_KINDS = [
  /** The provider has a machine that no row of the ledger names. */
  'unknown_machine',
  /** The ledger has buried a machine that the provider still has. */
  'buried_machine',
  /** The provider no longer has a machine of the ledger, or has given it up. */
  'machine_gone',
  /** A machine is awake, no turn is open, and nobody is going to put it to sleep. */
  'awake_without_reason',
  /** A creation was begun, and nobody waits for it. */
  'creation_unfinished',
  /** A turn waits, none runs, and the lane has not taken it up. */
  'signal_lost',
  /** A turn runs by the record, and its lane does not. */
  'lane_not_running',
  /** A running turn was cancelled, and nothing came of it. */
  'cancel_lost',
  /** A user is being destroyed, and nothing comes of it. */
  'destroy_unfinished',
] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

/** Those that follow from the provider's list: without a whole list nothing can be said of them. */
export const LISTING_KINDS: readonly FindingKind[] = [
  'unknown_machine',
  'buried_machine',
  'machine_gone',
  'awake_without_reason',
];

/** `report`: told and left alone. `wait`: looked at again next time. `destroy`: the machine. Any other is a signal to the lane. */
export type FindingAction =
  'report' | 'wait' | 'destroy' | 'machineLost' | 'sleepNow' | 'wakeNow' | 'enqueueTurn' | 'cancelTurn' | 'look';

/** Why just that was done, where the kind alone does not say it. */
export const FINDING_REASONS = [
  'account_is_shared',
  'ledger_is_empty',
  'create_in_flight',
  'grace_period',
  'limit_reached',
  'lane_not_running',
  'lane_is_idle',
  'lane_cannot_replay',
  'lane_task_fails',
  'asleep_by_ledger',
  'failed_by_ledger',
  'left_to_autosleep',
] as const;
export type FindingReason = (typeof FINDING_REASONS)[number];

/** `none`: there was nothing to do. `pending`: begun, and the reconcile ended before it was known. */
export type FindingOutcome = 'none' | 'pending' | 'done' | 'failed' | 'dry_run';

/** What was decided about a finding. */
export interface Decision {
  readonly action: FindingAction;
  readonly reason: FindingReason | null;
}

/** A finding as the reconcile that made it reports it. */
export interface ReportedFinding extends Decision {
  readonly kind: FindingKind;
  /** The machine's id, the turn's id, or the lane's workflow id. */
  readonly subject: string;
  /** Lane of the user; null for a machine that nobody knows. */
  readonly workflowId: string | null;
  readonly outcome: FindingOutcome;
  /** Of an outcome `failed`. */
  readonly code: ErrorCode | null;
}

/** Where a reconcile stands. All of its activities get it. */
export interface ReconcileRef {
  /** The same for all runs that continue one another. */
  readonly reconcileId: string;
  /** By Postgres's clock, ms since the epoch: what came later may be missing from the provider's list. */
  readonly startedAtMs: number;
  /** Looks and reports; tells nobody, destroys nothing, records nothing. */
  readonly isDryRun: boolean;
}

export interface ProviderPageInput extends ReconcileRef {
  /** null: the first page. */
  readonly cursor: string | null;
  /** Machines that may still be destroyed. */
  readonly destroysLeft: number;
}
export interface ProviderPage {
  /** null: that was the last one. */
  readonly nextCursor: string | null;
  readonly machines: number;
  readonly destroyed: number;
  readonly findings: readonly ReportedFinding[];
}

export interface UserPageInput extends ReconcileRef {
  /** Workflow id of the last lane of the page before; empty: the first page. */
  readonly after: string;
  /** False: the provider's list could not be had, so that nothing is said of machines. */
  readonly isListingWhole: boolean;
}
export interface UserPage {
  /** null: that was the last one. */
  readonly next: string | null;
  readonly users: number;
  readonly findings: readonly ReportedFinding[];
}

export interface ReconcileActivities {
  beginReconcile(): Promise<{ readonly startedAtMs: number }>;
  /** One page of the provider's list against the ledger. */
  reconcileProvider(input: ProviderPageInput): Promise<ProviderPage>;
  /** One page of users: ledger, record and lanes against what the provider's list held. */
  reconcileUsers(input: UserPageInput): Promise<UserPage>;
  /** Closes findings that were not found again, and forgets old ones. */
  endReconcile(input: ReconcileRef & { readonly isListingWhole: boolean }): Promise<{ readonly resolved: number }>;
}

/** What came of a reconcile: the workflow's result. */
export interface ReconcileReport {
  readonly reconcileId: string;
  readonly isDryRun: boolean;
  /** `whole`, or the code that the provider's list could not be read with: nothing was then said of machines. */
  readonly listing: 'whole' | ErrorCode;
  readonly machines: number;
  readonly users: number;
  /** Findings of earlier reconciles that are over. */
  readonly resolved: number;
  readonly findings: readonly ReportedFinding[];
  /** All there were, also those that `findings` has no room for. */
  readonly findingCount: number;
}

/** What a run of the workflow is started with; `progress` is its own, along continue-as-new. */
export interface ReconcileInput {
  readonly isDryRun: boolean;
  readonly progress?: ReconcileProgress;
}
export interface ReconcileProgress extends ReconcileRef {
  readonly stage: 'provider' | 'users';
  /** Provider's cursor, or the last lane. */
  readonly at: string | null;
  readonly pages: number;
  readonly destroysLeft: number;
  readonly listing: 'whole' | ErrorCode;
  readonly machines: number;
  readonly users: number;
  readonly findings: readonly ReportedFinding[];
  readonly findingCount: number;
}

/** Started without an argument it acts. An argument that cannot be read is taken for a dry run: that does no harm. */
export function parseReconcileInput(value: unknown): ReconcileInput {
  if (value === undefined) return { isDryRun: false };
  if (typeof value !== 'object' || value === null) return { isDryRun: true };
  const { isDryRun, progress } = value as Partial<Record<keyof ReconcileInput, unknown>>;
  const isActing = isDryRun === false;
  if (progress === undefined) return { isDryRun: !isActing };
  return isProgress(progress) ? { isDryRun: !isActing, progress } : { isDryRun: true };
}

function isProgress(value: unknown): value is ReconcileProgress {
  if (typeof value !== 'object' || value === null) return false;
  const progress = value as Partial<Record<keyof ReconcileProgress, unknown>>;
  return (
    (progress.stage === 'provider' || progress.stage === 'users') &&
    (progress.at === null || typeof progress.at === 'string') &&
    (progress.listing === 'whole' || isErrorCode(progress.listing)) &&
    typeof progress.reconcileId === 'string' &&
    typeof progress.isDryRun === 'boolean' &&
    [progress.startedAtMs, progress.pages, progress.destroysLeft].every(Number.isSafeInteger) &&
    [progress.machines, progress.users, progress.findingCount].every(Number.isSafeInteger) &&
    Array.isArray(progress.findings)
  );
}
