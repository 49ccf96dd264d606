/** Goal: whatever a far side sends as a hint, what comes out is a sane wait or nothing. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readRetryAfterMs } from '../../../src/contracts/retry-hint.js';

const nowMs = Date.parse('2026-09-01T10:00:00Z');

function read(bodyMs: unknown, headers: Record<string, string>): number | undefined {
  return readRetryAfterMs({ bodyMs, header: (name) => headers[name], nowMs });
}

test('a date is counted from now', () => {
  expect(read(undefined, { 'retry-after': 'Tue, 01 Sep 2026 10:00:30 GMT' })).toBe(30_000);
  expect(read(undefined, { 'retry-after': 'Tue, 01 Sep 2026 09:00:00 GMT' })).toBe(0);
});

test('the body comes before the headers, milliseconds before seconds; fractions are rounded up', () => {
  expect(read(84, { 'retry-after-ms': '1', 'retry-after': '2' })).toBe(84);
  expect(read('x', { 'retry-after-ms': '1.2', 'retry-after': '2' })).toBe(2);
  expect(read(-1, { 'retry-after': '0.5' })).toBe(500);
});

test('never negative, never endless, never not a number', () => {
  fc.assert(
    fc.property(fc.anything(), fc.string(), fc.string(), (body, ms, seconds) => {
      const wait = read(body, { 'retry-after-ms': ms, 'retry-after': seconds });
      if (wait === undefined) return;
      expect(Number.isInteger(wait)).toBe(true);
      expect(wait).toBeGreaterThanOrEqual(0);
      expect(wait).toBeLessThanOrEqual(300_000);
    }),
  );
});
