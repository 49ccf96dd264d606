/** Codes out of failures, as an activity's failure reaches the workflow. */
import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  RetryState,
  TimeoutFailure,
  TimeoutType,
} from '@temporalio/common';
import { describe, expect, it } from 'vitest';
import { ERROR_TABLE, type ErrorCode } from '../../../src/contracts/errors.js';
import { codeOf, isPermanent } from '../../../src/workflows/failures.js';

const failed = (cause: Error): ActivityFailure =>
  new ActivityFailure('failed', 'act', '1', RetryState.NON_RETRYABLE_FAILURE, 'worker', cause);
const coded = (code: string, nonRetryable = true): ApplicationFailure =>
  ApplicationFailure.create({ type: code, message: 'x', nonRetryable });

describe('codeOf', () => {
  it.each(Object.keys(ERROR_TABLE) as ErrorCode[])('reads %s', (code) => {
    expect(codeOf(failed(coded(code)))).toBe(code);
    expect(codeOf(coded(code))).toBe(code);
  });

  it('reads through a timeout to the last attempt', () => {
    const timeout = new TimeoutFailure('late', undefined, TimeoutType.SCHEDULE_TO_CLOSE);
    expect(codeOf(failed(timeout))).toBe('INTERNAL');
    Object.assign(timeout, { cause: coded('PROVIDER_UNAVAILABLE', false) });
    expect(codeOf(failed(timeout))).toBe('PROVIDER_UNAVAILABLE');
  });

  it('tells a cancellation from a failure', () => {
    expect(codeOf(new CancelledFailure('over'))).toBe('CANCELLED');
    expect(codeOf(failed(new CancelledFailure('over')))).toBe('CANCELLED');
  });

  it.each([undefined, null, 'text', 7, new Error('x'), coded('toString'), coded('UNHEARD_OF')])(
    'calls anything else INTERNAL',
    (error) => {
      expect(codeOf(error)).toBe('INTERNAL');
    },
  );
});

describe('isPermanent', () => {
  it('believes the activity, and nobody else', () => {
    expect(isPermanent(failed(coded('INTERNAL')))).toBe(true);
    expect(isPermanent(failed(coded('STORE_UNAVAILABLE', false)))).toBe(false);
    expect(isPermanent(failed(new TimeoutFailure('late', undefined, TimeoutType.HEARTBEAT)))).toBe(false);
    expect(isPermanent(new Error('x'))).toBe(false);
  });
});
