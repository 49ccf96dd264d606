/**
 * Goal: a long activity is heard, one that was frozen changes nothing any more, errors leave as failures and a cancellation as one.
 * Method: activities in contexts of the test's own, with fake timers.
 */
import { ApplicationFailure, CancelledFailure } from '@temporalio/activity';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { activity, isCancelledByLane, laneRun, type ActivityLog } from '../../../src/activities/context.js';
import { withHeartbeat } from '../../../src/activities/heartbeat.js';
import { InnkeeperError } from '../../../src/contracts/errors.js';
import { HEARTBEAT_INTERVAL_MS } from '../../../src/contracts/limits.js';
import { createTestActivity } from './support.js';

let lines: { level: string; fields: object }[];
let log: ActivityLog;

beforeEach(() => {
  vi.useFakeTimers();
  lines = [];
  const at = (level: string) => (fields: object) => void lines.push({ level, fields });
  log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
});
afterEach(() => vi.useRealTimers());

const never = new Promise<never>(() => undefined);

describe('laneRun', () => {
  it('is the workflow that the activity runs for', async () => {
    expect(await createTestActivity().run(async () => laneRun())).toEqual({
      workflowId: 'user-machine/ada',
      runId: 'run-1',
    });
  });

  it('is refused where there is none', async () => {
    const lonely = createTestActivity({ workflowExecution: undefined });
    await expect(lonely.run(async () => laneRun())).rejects.toThrow('for a workflow only');
  });
});

describe('withHeartbeat', () => {
  it('beats with phase, step, time and the latest report, and leaves no timer', async () => {
    const test = createTestActivity();
    let done = (): void => undefined;
    const running = test.run(() =>
      withHeartbeat({ phase: 'command', step: 3 }, async (report) => {
        report({ outputBytes: 10 });
        await new Promise<void>((resolve) => (done = resolve));
        return 'done';
      }),
    );
    await vi.advanceTimersByTimeAsync(2 * HEARTBEAT_INTERVAL_MS);
    expect(test.beats).toEqual([
      { phase: 'command', step: 3, outputBytes: 10, elapsedMs: HEARTBEAT_INTERVAL_MS },
      { phase: 'command', step: 3, outputBytes: 10, elapsedMs: 2 * HEARTBEAT_INTERVAL_MS },
    ]);
    done();
    expect(await running).toBe('done');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('costs a short activity no heartbeat', async () => {
    const test = createTestActivity();
    await test.run(() => withHeartbeat({ phase: 'model', step: 0 }, () => Promise.resolve()));
    expect(test.beats).toEqual([]);
  });

  it('lets an attempt that was frozen beyond its heartbeat timeout change nothing, for good', async () => {
    const test = createTestActivity({ heartbeatTimeoutMs: 5_000 });
    let look = (): unknown => undefined;
    void test.run(() =>
      withHeartbeat({ phase: 'command', step: 0 }, () => {
        look = () => test.run(async () => laneRun());
        return never;
      }),
    );
    await vi.advanceTimersByTimeAsync(20_000);
    expect(await look()).toMatchObject({ runId: 'run-1' });
    // A process that is stopped runs no timers, while both clocks go on.
    vi.setSystemTime(Date.now() + 6_000);
    await expect(look()).rejects.toMatchObject({ type: 'STALE_TRY', nonRetryable: false });
    const beats = test.beats.length;
    await vi.advanceTimersByTimeAsync(20_000);
    await expect(look()).rejects.toMatchObject({ type: 'STALE_TRY' });
    expect(test.beats).toHaveLength(beats);
  });
});

describe('activity', () => {
  it('answers what its body answers, also after a cancellation', async () => {
    const test = createTestActivity();
    test.cancel();
    expect(await test.run(() => activity(log, () => Promise.resolve(7)))).toBe(7);
    expect(lines).toEqual([]);
  });

  it.each([
    [new InnkeeperError('STORE_UNAVAILABLE', 'away'), 'STORE_UNAVAILABLE', 'info'],
    [new TypeError('a defect'), 'INTERNAL', 'error'],
  ])('logs %s and throws it as a failure', async (cause, code, level) => {
    const fail = (): Promise<never> => Promise.reject(cause);
    const failing = createTestActivity().run(() => activity(log, fail));
    await expect(failing).rejects.toSatisfy((thrown) => thrown instanceof ApplicationFailure && thrown.type === code);
    expect(lines).toMatchObject([{ level, fields: { code, workflowId: 'user-machine/ada', attempt: 1 } }]);
  });

  it('is cancelled, whatever its body made of that', async () => {
    const test = createTestActivity();
    const failing = test.run(() =>
      activity(log, () => {
        test.cancel();
        return Promise.reject(new Error('the socket was closed'));
      }),
    );
    await expect(failing).rejects.toBeInstanceOf(CancelledFailure);
    expect(lines).toEqual([]);
  });

  it('ends its retries where it says so', async () => {
    const error = new InnkeeperError('MODEL_UNAVAILABLE', 'away');
    const last = createTestActivity().run(() =>
      activity(
        log,
        () => Promise.reject(error),
        () => true,
      ),
    );
    await expect(last).rejects.toMatchObject({ type: 'MODEL_UNAVAILABLE', nonRetryable: true });
  });

  it("knows a lane's cancellation from the end of its worker", async () => {
    const byLane = createTestActivity();
    const byWorker = createTestActivity();
    byLane.cancel({ cancelRequested: true });
    byWorker.cancel({ workerShutdown: true });
    expect(await byLane.run(async () => isCancelledByLane())).toBe(true);
    expect(await byWorker.run(async () => isCancelledByLane())).toBe(false);
    expect(await createTestActivity().run(async () => isCancelledByLane())).toBe(false);
  });
});
