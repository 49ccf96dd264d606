/** What every activity starts with: who it runs for, how it is cancelled, how it reports progress, how its errors leave. */
import { activityInfo, ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { InnkeeperError } from '../contracts/errors.js';
import { toFailure, toLogged } from './failure.js';
import { assertHeard } from './heartbeat.js';

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

/**
 * Asked right before every write and every request that changes something.
 * @throws ApplicationFailure STALE_TRY where this attempt was frozen for so long that another one may have begun
 */
export function laneRun(): LaneRun {
  const execution = activityInfo().workflowExecution;
  if (execution === undefined) throw new Error('this activity runs for a workflow only');
  assertHeard();
  return { workflowId: execution.workflowId, runId: execution.runId };
}

export function cancellationSignal(): AbortSignal {
  return Context.current().cancellationSignal;
}

/** True where the lane asked for the end; false for an attempt that only this worker gives up (its shutdown, a timeout). */
export function isCancelledByLane(): boolean {
  return Context.current().cancellationDetails?.cancelRequested === true;
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
    const { activityType, attempt, workflowExecution } = activityInfo();
    const known = InnkeeperError.is(error) ? error.code : error instanceof ApplicationFailure ? error.type : undefined;
    const code = known ?? 'INTERNAL';
    const fields = { activityType, attempt, workflowId: workflowExecution?.workflowId, code, err: toLogged(error) };
    log[code === 'INTERNAL' ? 'error' : 'info'](fields, 'activity failed');
    throw toFailure(error, { attempt, isLast: isLast(error) });
  }
}
