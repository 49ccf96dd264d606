/** The schedule of the reconciler, made where it is missing and kept to its settings, so that no operator has to. */
import {
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
  type Client,
  type ScheduleHandle,
  type ScheduleOptions,
} from '@temporalio/client';
import { RECONCILE_WORKFLOW, reconcileScheduleId, reconcileWorkflowId } from '../contracts/ids.js';
import { RECONCILE_RUN_MS_MAX } from '../contracts/limits.js';
import type { ReconcileInput } from '../contracts/reconcile.js';
import type { Logger } from '../log.js';

export interface ReconcileScheduleSettings {
  readonly taskQueue: string;
  /** 0: there is to be none. */
  readonly intervalMs: number;
}

/** A reconcile that was missed is not made up for: the next one finds the same. */
const CATCHUP_WINDOW_MS = 60_000;

/**
 * Several workers may do it at once. What an operator has done to the schedule (paused it, a note) stays. Where it cannot be had the
 * worker runs all the same, and says so: turns do not need it.
 */
export async function keepReconcileSchedule(
  client: Client,
  { log, ...settings }: ReconcileScheduleSettings & { readonly log: Logger },
): Promise<void> {
  const handle = client.schedule.getHandle(reconcileScheduleId(settings.taskQueue));
  try {
    if (settings.intervalMs === 0) await remove(handle);
    else await createOrUpdate(client, handle, settings);
  } catch (error) {
    log.warn(
      { err: error, scheduleId: handle.scheduleId },
      'the reconcile schedule cannot be kept: see docs/operations.md',
    );
  }
}

async function remove(handle: ScheduleHandle): Promise<void> {
  try {
    await handle.delete();
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
  }
}

async function createOrUpdate(
  client: Client,
  handle: ScheduleHandle,
  settings: ReconcileScheduleSettings,
): Promise<void> {
  const wanted = scheduleOf(settings);
  try {
    await client.schedule.create({ ...wanted, scheduleId: handle.scheduleId });
    return;
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
  }
  const { spec, policies } = await handle.describe();
  const isKept =
    spec.intervals?.length === 1 &&
    spec.intervals[0]?.every === settings.intervalMs &&
    policies.overlap === ScheduleOverlapPolicy.SKIP;
  if (!isKept) await handle.update(({ state }) => ({ ...wanted, state }));
}

function scheduleOf(settings: ReconcileScheduleSettings): Pick<ScheduleOptions, 'spec' | 'action' | 'policies'> {
  const { taskQueue, intervalMs } = settings;
  return {
    spec: { intervals: [{ every: intervalMs }] },
    action: {
      type: 'startWorkflow',
      workflowType: RECONCILE_WORKFLOW,
      args: [{ isDryRun: false } satisfies ReconcileInput],
      taskQueue,
      workflowId: reconcileWorkflowId(taskQueue),
      workflowRunTimeout: RECONCILE_RUN_MS_MAX,
      staticSummary: 'Compares provider, ledger, record and lanes',
    },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: CATCHUP_WINDOW_MS },
  };
}
