/**
 * Goal: every code of the error table leaves an activity as a failure that Temporal treats as the table means, and nothing that users,
 * models or guests said gets into Temporal's history. Method: the whole table, and errors with canaries in them.
 */
import { ApplicationFailure, CancelledFailure } from '@temporalio/activity';
import { ApplicationFailureCategory } from '@temporalio/common';
import { describe, expect, it } from 'vitest';
import { frozenFailure, toFailure, toLogged } from '../../../src/activities/failure.js';
import { ERROR_TABLE, InnkeeperError, isErrorCode, type ErrorCode } from '../../../src/contracts/errors.js';

const CODES = Object.keys(ERROR_TABLE).filter(isErrorCode);
const CANARY = 'what the user said';

/** Repeated by Temporal; all others end the activity. */
const RETRIED: readonly ErrorCode[] = [
  'STALE_TRY',
  'LANE_UNREACHABLE',
  'GATEWAY_UNAVAILABLE',
  'TOKEN_KEYS_UNAVAILABLE',
  'STORE_UNAVAILABLE',
  'TEMPORAL_UNAVAILABLE',
  'RESULT_TIMEOUT',
  'PROVIDER_UNAVAILABLE',
  'PROVIDER_RATE_LIMITED',
  'REVISION_CONFLICT',
  'MACHINE_INVALID_STATE',
  'MACHINE_NOT_READY',
  'LEASE_ENDED',
  'GUEST_UNREACHABLE',
  'MODEL_UNAVAILABLE',
  'MODEL_RATE_LIMITED',
  'MODEL_EMPTY_ANSWER',
  'RECONCILE_UNFINISHED',
  'INTERNAL',
];

/** Their messages may quote models and guests. */
const QUOTING = CODES.filter((code) => /^(MODEL_(?!EMPTY|REFUSED|UNKNOWN)|GUEST_)/.test(code));

const failureOf = (error: unknown, options = {}): ApplicationFailure => {
  const failure = toFailure(error, options);
  expect(failure).toBeInstanceOf(ApplicationFailure);
  return failure as ApplicationFailure;
};

describe('toFailure', () => {
  it.each(CODES)('%s carries its code, its advice and whether to repeat', (code) => {
    const failure = failureOf(new InnkeeperError(code, `It went wrong: ${CANARY}`, { details: { status: 503 } }));
    expect(failure.type).toBe(code);
    expect(failure.nonRetryable).toBe(!RETRIED.includes(code));
    expect(failure.details).toEqual([{ advice: ERROR_TABLE[code].advice, status: 503 }]);
    expect(failure.cause).toBeUndefined();
    expect(failure.message.includes(CANARY)).toBe(!QUOTING.includes(code));
    expect(failure.message).not.toBe('');
  });

  it('keeps a cause, and what an unknown error says, out of the history', () => {
    const cause = new Error(CANARY);
    const known = failureOf(new InnkeeperError('STORE_UNAVAILABLE', 'Postgres is away.', { cause }));
    const unknown = failureOf(new TypeError(CANARY));
    const thrown = failureOf(CANARY);
    expect(unknown).toMatchObject({ type: 'INTERNAL', nonRetryable: false });
    for (const failure of [known, unknown, thrown]) {
      expect(`${failure.message} ${JSON.stringify(failure.details)} ${String(failure.cause)}`).not.toContain(CANARY);
    }
    expect(unknown.message).toContain('TypeError');
  });

  it('repeats when the far side said', () => {
    const error = new InnkeeperError('MODEL_RATE_LIMITED', 'slow down', { retryAfterMs: 1_234 });
    expect(failureOf(error).nextRetryDelay).toBe(1_234);
    expect(failureOf(new InnkeeperError('MODEL_RATE_LIMITED', 'slow down')).nextRetryDelay).toBeUndefined();
  });

  it('repeats a revision conflict soon, spread so that two writers do not meet again, and without an alarm', () => {
    const delays = new Set<unknown>();
    for (let tries = 0; tries < 50; tries += 1) {
      const failure = failureOf(new InnkeeperError('REVISION_CONFLICT', 'somebody else changed it'));
      expect(failure.category).toBe(ApplicationFailureCategory.BENIGN);
      expect(failure.nextRetryDelay).toBeGreaterThanOrEqual(20);
      expect(failure.nextRetryDelay).toBeLessThan(100);
      delays.add(failure.nextRetryDelay);
    }
    expect(delays.size).toBeGreaterThan(5);
  });

  it('asks an absent Postgres soon at first, then steadily, spread', () => {
    const away = new InnkeeperError('STORE_UNAVAILABLE', 'Postgres is away.');
    for (const attempt of [1, 2, 3]) expect(failureOf(away, { attempt }).nextRetryDelay).toBeUndefined();
    const delays = new Set<unknown>();
    for (let attempt = 4; attempt < 50; attempt += 1) {
      const { nextRetryDelay } = failureOf(away, { attempt });
      expect(nextRetryDelay).toBeGreaterThanOrEqual(1_000);
      expect(nextRetryDelay).toBeLessThan(2_000);
      delays.add(nextRetryDelay);
    }
    expect(delays.size).toBeGreaterThan(5);
  });

  it('ends the retries where the activity says that it was the last one', () => {
    const error = new InnkeeperError('MODEL_UNAVAILABLE', 'away');
    expect(failureOf(error, { isLast: true }).nonRetryable).toBe(true);
    expect(failureOf(error, { isLast: false }).nonRetryable).toBe(false);
  });

  it('lets failures and cancellations pass', () => {
    const failure = ApplicationFailure.create({ type: 'OTHER' });
    const cancelled = new CancelledFailure('over');
    expect(toFailure(failure)).toBe(failure);
    expect(toFailure(cancelled)).toBe(cancelled);
  });

  it('repeats an attempt that was frozen, in case it has no successor', () => {
    expect(frozenFailure()).toMatchObject({ type: 'STALE_TRY', nonRetryable: false });
  });
});

describe('toLogged', () => {
  it("shows an error, its code and its causes, and none of Postgres's details, which hold whole rows", () => {
    const row = Object.assign(new Error('violates a constraint'), { code: '23514', detail: `Failing row: ${CANARY}` });
    const logged = toLogged(new InnkeeperError('STORE_UNAVAILABLE', 'no', { cause: row, details: { status: 1 } }));
    expect(logged).toMatchObject({
      type: 'InnkeeperError',
      message: 'no',
      code: 'STORE_UNAVAILABLE',
      details: { status: 1 },
      cause: { type: 'Error', message: 'violates a constraint', code: '23514' },
    });
    expect(JSON.stringify(logged)).not.toContain(CANARY);
  });

  it('ends with a chain of causes that has no end', () => {
    const error = new Error('around');
    error.cause = error;
    expect(JSON.stringify(toLogged(error)).length).toBeGreaterThan(0);
    expect(toLogged('text')).toEqual({ type: 'string' });
  });
});
