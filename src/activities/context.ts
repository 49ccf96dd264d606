/** What every activity starts with: who it runs for, how it is cancelled, how it reports progress, how its errors leave. */
import { activityInfo, CancelledFailure, Context, heartbeat } from '@temporalio/activity';
import type { StepHeartbeat } from '../contracts/activities.js';
import { InnkeeperError } from '../contracts/errors.js';
import { HEARTBEAT_INTERVAL_MS } from '../contracts/limits.js';
import { toFailure } from './failure.js';

export interface ActivityLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** The run that an activity works for; the user follows from the workflow id, in Postgres. */
export interface LaneRun {
  readonly workflowId: string;
  readonly runId: string;
}

export function laneRun(): LaneRun {
  const execution = activityInfo().workflowExecution;
  if (execution === undefined) throw new Error('this activity runs for a workflow only');
  return { workflowId: execution.workflowId, runId: execution.runId };
}

export function cancellationSignal(): AbortSignal {
  return Context.current().cancellationSignal;
}

/**
 * Runs an activity's body: errors become failures, and a cancellation stays one whatever the body made of it.
 * `isLast` ends the retries of an error that is otherwise repeated.
 */
export async function activity<T>(
  log: ActivityLog,
  body: () => Promise<T>,
  isLast: (error: unknown) => boolean = () => false,
): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (cancellationSignal().aborted) throw new CancelledFailure('activity cancelled');
    const { activityType, attempt } = activityInfo();
    const code = InnkeeperError.is(error) ? error.code : 'INTERNAL';
    const fields = { activityType, attempt, workflowId: laneRun().workflowId, code, err: error };
    log[code === 'INTERNAL' ? 'error' : 'info'](fields, 'activity failed');
    throw toFailure(error, { isLast: isLast(error) });
  }
}

/** Heartbeats while `body` runs; `report` changes what the next heartbeats carry. */
export async function withHeartbeat<T>(
  first: Omit<StepHeartbeat, 'elapsedMs'>,
  body: (report: (change: Partial<StepHeartbeat>) => void) => Promise<T>,
): Promise<T> {
  const startedAt = Date.now();
  let details: Omit<StepHeartbeat, 'elapsedMs'> = first;
  const beat = (): void => heartbeat({ ...details, elapsedMs: Date.now() - startedAt } satisfies StepHeartbeat);
  beat();
  const timer = setInterval(beat, HEARTBEAT_INTERVAL_MS);
  try {
    return await body((change) => {
      details = { ...details, ...change };
    });
  } finally {
    clearInterval(timer);
  }
}
