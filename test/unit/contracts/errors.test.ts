/** The error table: every code says how it is treated, what its status is and what to do; statuses fit their kinds. */
import { describe, expect, it } from 'vitest';
import {
  ERROR_TABLE,
  InnkeeperError,
  isErrorCode,
  type ErrorCode,
  type ErrorKind,
} from '../../../src/contracts/errors.js';

const CODES = Object.keys(ERROR_TABLE) as ErrorCode[];
const KINDS: ReadonlySet<ErrorKind> = new Set(['rejected', 'transient', 'permanent', 'ambiguous', 'cancelled', 'bug']);

describe('the error table', () => {
  it.each(CODES)('%s is complete', (code) => {
    const { kind, httpStatus, advice } = ERROR_TABLE[code];
    expect(code).toMatch(/^[A-Z]+(_[A-Z]+)*$/);
    expect(KINDS.has(kind)).toBe(true);
    expect(httpStatus).toBeGreaterThanOrEqual(400);
    expect(httpStatus).toBeLessThan(600);
    expect(advice).toMatch(/^[A-Z].*\.$/s);
    expect(advice.length).toBeLessThan(200);
  });

  it('never asks a caller to repeat what only an operator can mend', () => {
    for (const code of CODES) {
      const { kind, httpStatus } = ERROR_TABLE[code];
      if (kind === 'transient') expect(httpStatus, code).toBeGreaterThanOrEqual(500);
      if (kind === 'bug') expect(httpStatus, code).toBeGreaterThanOrEqual(500);
      if (kind === 'cancelled') expect(httpStatus, code).toBe(409);
    }
  });

  it('knows its codes, and no name that objects have by themselves', () => {
    for (const code of CODES) expect(isErrorCode(code)).toBe(true);
    for (const other of ['toString', '__proto__', 'constructor', 'internal', '', 7, null, undefined, {}]) {
      expect(isErrorCode(other)).toBe(false);
    }
  });
});

describe('InnkeeperError', () => {
  it('carries code, kind, advice, wait, details and cause', () => {
    const cause = new Error('below');
    const error = new InnkeeperError('QUEUE_FULL', 'Twenty turns are open.', {
      cause,
      retryAfterMs: 5,
      details: { open: 20 },
    });
    expect(error).toMatchObject({
      code: 'QUEUE_FULL',
      kind: 'rejected',
      retryAfterMs: 5,
      details: { open: 20 },
      cause,
    });
    expect(error.advice).toBe(ERROR_TABLE.QUEUE_FULL.advice);
    expect(InnkeeperError.is(error)).toBe(true);
    expect(InnkeeperError.is(cause)).toBe(false);
    expect('cause' in new InnkeeperError('INTERNAL', 'alone')).toBe(false);
  });
});
