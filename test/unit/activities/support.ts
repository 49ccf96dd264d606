/** Runs code as an activity of a lane, with a context that a test may cancel and whose heartbeats it sees. */
import { asyncLocalStorage, Context, type Info } from '@temporalio/activity';
import { ActivityCancellationDetails } from '@temporalio/common';
import type { StepHeartbeat } from '../../../src/contracts/activities.js';

export interface TestActivity {
  run<T>(body: () => Promise<T>): Promise<T>;
  cancel(details?: Partial<{ cancelRequested: boolean; workerShutdown: boolean }>): void;
  readonly beats: StepHeartbeat[];
}

export function createTestActivity(info: { [K in keyof Info]?: Info[K] | undefined } = {}): TestActivity {
  const controller = new AbortController();
  const holder: { details?: ActivityCancellationDetails } = {};
  const beats: StepHeartbeat[] = [];
  const never = new Promise<never>(() => undefined);
  const silent = () => undefined;
  const log = { log: silent, trace: silent, debug: silent, info: silent, warn: silent, error: silent };
  const full = {
    activityType: 'act',
    attempt: 1,
    workflowExecution: { workflowId: 'user-machine/ada', runId: 'run-1' },
    heartbeatTimeoutMs: 5_000,
    ...info,
  } as Info;
  const context = new Context(
    full,
    never,
    controller.signal,
    (details?: unknown) => beats.push(details as StepHeartbeat),
    undefined,
    log,
    undefined as never,
    holder,
  );
  return {
    beats,
    run: (body) => asyncLocalStorage.run(context, body),
    cancel(details = { cancelRequested: true }) {
      holder.details = new ActivityCancellationDetails(details);
      controller.abort(new Error('cancelled'));
    },
  };
}
