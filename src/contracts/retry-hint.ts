/** Reads the wait that a far side asks for, from a body and from headers. Pure; used by the machine and the model adapters. */

/** A longer wait than this is not believed: our own retry policy is asked instead to come back then. */
const RETRY_AFTER_MS_MAX = 5 * 60_000;

/**
 * Wait in ms, in this order: body `retry_after_ms`, header `retry-after-ms`, header `retry-after` (seconds or a date).
 * undefined where there is no hint that can be read. Never negative, never above RETRY_AFTER_MS_MAX.
 */
export function readRetryAfterMs(source: {
  readonly bodyMs?: unknown;
  readonly header: (name: string) => string | null | undefined;
  readonly nowMs: number;
}): number | undefined {
  const candidates = [
    toMs(source.bodyMs, 1),
    toMs(source.header('retry-after-ms'), 1),
    toMs(source.header('retry-after'), 1_000),
    toDateMs(source.header('retry-after'), source.nowMs),
  ];
  const found = candidates.find((candidate) => candidate !== undefined);
  return found === undefined ? undefined : Math.min(Math.max(0, Math.ceil(found)), RETRY_AFTER_MS_MAX);
}

function toMs(value: unknown, unitMs: number): number | undefined {
  if (typeof value === 'string' && !/^\s*\d+(\.\d+)?\s*$/.test(value)) return undefined;
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  const number = Number(value);
  return Number.isFinite(number) && number >= 0 ? number * unitMs : undefined;
}

function toDateMs(value: string | null | undefined, nowMs: number): number | undefined {
  if (value === null || value === undefined || !/[a-z]/i.test(value)) return undefined;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : at - nowMs;
}
