/** Pauses after errors: at once, then longer and longer up to the bound, and from the start after a calm. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LANE_RETRY_MS } from '../../../src/contracts/limits.js';
import { createPause } from '../../../src/workflows/pause.js';

const MAX_MS = 60_000;
const HOUR_MS = 3_600_000;

beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }));
afterEach(() => void vi.useRealTimers());

describe('createPause', () => {
  it('repeats at once, then waits longer each time, never longer than the bound', () => {
    const pause = createPause(MAX_MS);
    const waits = Array.from({ length: 13 }, () => pause.begin());
    const grown = [0, ...Array.from({ length: 12 }, (_, times) => Math.round(1.5 ** times * LANE_RETRY_MS))];
    expect(waits).toEqual(grown.map((waitMs) => Math.min(waitMs, MAX_MS)));
    expect(waits.at(-1)).toBe(MAX_MS);
    expect(pause.untilMs).toBe(Date.now() + MAX_MS);
  });

  it('begins anew when it is reset, and after a calm', () => {
    const pause = createPause(MAX_MS);
    pause.begin();
    pause.begin();
    pause.reset();
    expect(pause.untilMs).toBe(0);
    expect([pause.begin(), pause.begin()]).toEqual([0, LANE_RETRY_MS]);
    vi.advanceTimersByTime(HOUR_MS);
    expect(pause.begin()).toBe(0);
  });
});
