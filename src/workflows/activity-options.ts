/** Every timeout and retry policy of the lane and of the reconciler, each with its reason. */
import type { ActivityOptions } from '@temporalio/workflow';
import { ActivityCancellationType } from '@temporalio/workflow';
import { COMMAND_TIMEOUT_MS_MAX, HEARTBEAT_TIMEOUT_MS } from '../contracts/limits.js';

/**
 * Postgres-only steps, a few milliseconds each, idempotent. Five seconds an attempt: past that the connection is dead, another one is
 * better. Four attempts within a second: a longer absence is waited for by the lane's own pauses (pause.ts), between which it
 * hears signals. Failures that repeating cannot mend are thrown non-retryable. WAIT_CANCELLATION_COMPLETED: they are over at once,
 * and the lane knows what was stored.
 */
export const storeOptions: ActivityOptions = {
  startToCloseTimeout: '5s',
  retry: { initialInterval: '50ms', backoffCoefficient: 3, maximumInterval: '1s', maximumAttempts: 4 },
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
};

/**
 * A model call. Its result is stored once for each step, so a repeat asks only when nothing was stored.
 * Ten minutes: the longest answer of a slow model. Short heartbeat: a killed worker is noticed in 5 s. Attempts are unlimited
 * here, since worker restarts count as attempts; the activity itself gives up on a model that keeps failing, and the turn's
 * deadline ends everything. TRY_CANCEL: a call has no effect outside, and its late write is refused, so nobody waits for it.
 */
export const thinkOptions: ActivityOptions = {
  startToCloseTimeout: '10m',
  heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
  retry: { initialInterval: '300ms', backoffCoefficient: 2, maximumInterval: '10s' },
  cancellationType: ActivityCancellationType.TRY_CANCEL,
};

/**
 * A tool call. Repeats are safe: the machine's journal runs a command id at most once, and a repeat attaches to it.
 * One minute above the longest command, for looking up and attaching. Attempts unlimited as for `think`.
 * WAIT_CANCELLATION_COMPLETED: the next command may not start while this one may still run; a dead worker resolves it after
 * the heartbeat timeout.
 */
export const actOptions: ActivityOptions = {
  startToCloseTimeout: COMMAND_TIMEOUT_MS_MAX + 60_000,
  heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
  retry: { initialInterval: '200ms', backoffCoefficient: 2, maximumInterval: '5s' },
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
};

/**
 * Stopping commands: repeated until it is confirmed, because no next command may start before. Killing takes at most
 * INT, TERM and KILL with 5 s between them, so a minute is ample; the heartbeat notices a killed worker.
 */
export const stopOptions: ActivityOptions = {
  startToCloseTimeout: '1m',
  heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
  retry: { initialInterval: '200ms', backoffCoefficient: 2, maximumInterval: '5s' },
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
};

/** Stopping commands when the lane's run is being cancelled: the next run stops what this one could not reach in time. */
export const leaveOptions: ActivityOptions = { ...stopOptions, scheduleToCloseTimeout: '30s' };

/**
 * Deleting is repeated for as long as it takes: a machine that is forgotten keeps costing money. Killed workers count as attempts, so
 * the interval stays short: with up to a minute between two, a destruction that was struck 14 times took six minutes.
 */
export const destroyOptions: ActivityOptions = {
  startToCloseTimeout: '10m',
  heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
  retry: { initialInterval: '300ms', backoffCoefficient: 2, maximumInterval: '15s' },
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
};

/**
 * Lifecycle of the machine: idempotent by stored keys and revisions. A create was seen to take four minutes, a bootstrap
 * installs packages: ten minutes an attempt, twenty-five in all, so that a provider that is away ends as a visible error of the
 * lane (below the turn's own limit) and not as an endless wait. A revision conflict brings its own short delay.
 */
export const machineOptions: ActivityOptions = { ...destroyOptions, scheduleToCloseTimeout: '25m' };

/**
 * A page of the reconciler: repeating one finds the same again, and tells it again, which does no harm. Five minutes an attempt: a
 * page of machines that are gone is asked for one by one. Ten in all: a list that cannot be had by then is left to the next
 * reconcile, and the rest goes on without it.
 */
export const reconcileOptions: ActivityOptions = {
  startToCloseTimeout: '5m',
  scheduleToCloseTimeout: '10m',
  heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
  retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '15s' },
};
