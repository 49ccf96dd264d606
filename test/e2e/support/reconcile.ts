/** Reconciles as an operator has them run, and the trouble that they are for. */
import { randomUUID } from 'node:crypto';
import { RECONCILE_WORKFLOW, laneWorkflowId, reconcileWorkflowId } from '../../../src/contracts/ids.js';
import type { ReconcileReport, ReportedFinding } from '../../../src/contracts/reconcile.js';
import { uuidv7 } from '../../support/keys.js';
import { waitFor } from '../../support/wait-for.js';
import type { Branch } from '../../support/stack.js';
import type { Lanes } from './lane-handle.js';
import type { Stage } from './stage.js';

/** Settings of workers whose reconciles find things soon. */
export const SOON = { RECONCILE_QUIET_MS: '300', MACHINE_CREATE_TIMEOUT_MS: '4000', RECONCILE_GRACE_MS: '5000' };

export interface FindingRow {
  readonly kind: string;
  readonly subject: string;
  readonly userId: string | null;
  readonly action: string;
  readonly reason: string | null;
  readonly outcome: string;
  readonly timesSeen: number;
  readonly isOver: boolean;
}

export interface Reconciler {
  /** Has one run now, on the branch's workers. */
  run(options?: { readonly isDryRun?: boolean; readonly branch?: Branch }): Promise<ReconcileReport>;
  /** Runs one after the other until this is on record, whichever of several at once found it. */
  until(
    what: string,
    isIt: (finding: FindingRow) => boolean,
    options?: { readonly branch?: Branch },
  ): Promise<FindingRow>;
  /** Findings on record, oldest first. */
  rows(of?: { readonly userId?: string; readonly subject?: string }): Promise<FindingRow[]>;
}

/** Has one run now on the workers of this task queue, beside whatever the schedule has begun. */
export async function reconcileOnce(
  { client }: Lanes,
  { taskQueue, isDryRun = false }: { readonly taskQueue: string; readonly isDryRun?: boolean },
): Promise<ReconcileReport> {
  return (await client.workflow.execute(RECONCILE_WORKFLOW, {
    workflowId: reconcileWorkflowId(taskQueue, randomUUID()),
    taskQueue,
    args: [{ isDryRun }],
  })) as ReconcileReport;
}

export function createReconciler(stage: Stage, lanes: Lanes): Reconciler {
  const run: Reconciler['run'] = ({ isDryRun = false, branch: { taskQueue } = stage.stack } = {}) =>
    reconcileOnce(lanes, { taskQueue, isDryRun });
  const rows: Reconciler['rows'] = ({ userId, subject } = {}) =>
    stage.sql<FindingRow>(
      `select kind, subject, user_id as "userId", action, reason, outcome, times_seen as "timesSeen",
         resolved_at is not null as "isOver"
       from reconcile_findings where ($1::text is null or user_id = $1) and ($2::text is null or subject = $2)
       order by finding_id`,
      [userId ?? null, subject ?? null],
    );
  return {
    run,
    rows,
    until: (what, isIt, options) =>
      waitFor(what, async () => {
        await run(options);
        return (await rows()).find((row) => row.outcome !== 'pending' && isIt(row));
      }),
  };
}

/** A finding of this kind about this user. */
export function isOf(userId: string, kind: string): (finding: FindingRow) => boolean {
  return (finding) => finding.kind === kind && finding.userId === userId;
}

/** What a reconcile reported about this user. */
export function reportedOf({ findings }: ReconcileReport, userId: string): readonly ReportedFinding[] {
  return findings.filter(({ workflowId }) => workflowId === laneWorkflowId(userId));
}

/** A finding of this kind about this machine. */
export function isAbout(
  subject: string,
  kind: string,
): (finding: { readonly kind: string; readonly subject: string }) => boolean {
  return (finding) => finding.kind === kind && finding.subject === subject;
}

/** Makes a machine at the provider that no ledger knows. */
export async function makeStray(stage: Stage): Promise<string> {
  const { url, apiKey } = stage.stack.emulator;
  const response = await fetch(`${url}/v1/machines`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${apiKey}`,
      'content-type': 'application/json',
      'idempotency-key': uuidv7(),
    },
    body: JSON.stringify({ vcpu: 1, memory_mib: 1_024, storage_gib: 10 }),
  });
  const { machine_id: machineId } = (await response.json()) as { machine_id: string };
  await untilProvider(stage, machineId, 'running');
  return machineId;
}

export async function untilProvider(stage: Stage, machineId: string, phase: string): Promise<void> {
  await waitFor(
    `the provider has ${machineId} ${phase}`,
    async () => (await stage.provider.machine(machineId)).phase === phase,
  );
}

/** Wakes a machine at the provider, behind our back. */
export async function wakeBehindOurBack(stage: Stage, machineId: string): Promise<void> {
  const { url, apiKey } = stage.stack.emulator;
  const { revision } = await stage.provider.machine(machineId);
  const response = await fetch(`${url}/v1/machines/${machineId}/wake`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${apiKey}`,
      'idempotency-key': randomUUID(),
      'if-match': String(revision),
    },
  });
  if (!response.ok) throw new Error(await response.text());
  await untilProvider(stage, machineId, 'running');
}

/** What was asked of the provider since, by route. */
export async function routesSince(stage: Stage, since: number): Promise<string[]> {
  const calls = (await stage.provider.ledger(since)).filter(({ kind }) => kind === 'api');
  return [...new Set(calls.map((call) => String(call['route'])))].sort();
}

/** Machines that the provider has and that no live row of the ledger names. */
export async function orphans(stage: Stage): Promise<string[]> {
  const rows = await stage.sql<{ id: string }>(`select machine_id as id from machines where phase <> 'destroyed'`);
  const known = new Set(rows.map(({ id }) => id));
  const alive = (await stage.stack.emulator.machines()).filter(({ desiredState }) => desiredState !== 'destroyed');
  return alive.map(({ machineId }) => machineId).filter((id) => !known.has(id));
}
