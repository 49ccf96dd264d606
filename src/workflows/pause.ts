/** Growing pauses after errors that repeating at once would only repeat: the first repeat is immediate, later ones wait longer. */
import { isCancellation, sleep } from '@temporalio/workflow';
import { LANE_RETRY_MS } from '../contracts/limits.js';
import { isPermanent } from './failures.js';

/** Longest pause before Postgres is asked again: what a user waits at most once it is back. */
export const STORE_PAUSE_MS_MAX = 60_000;
/** Longest pause before the machine's provider is asked again for something that nobody waits for. */
export const MACHINE_PAUSE_MS_MAX = 5 * 60_000;
/** Of each pause over the one before it: what is back is noticed within about half the time that it was away. */
const GROWTH = 1.5;
/** After this long without an error the next one counts as the first. */
const CALM_MS = 2 * 60_000;

export interface Pause {
  /** ms since the epoch; nothing is tried before. */
  readonly untilMs: number;
  /** Notes an error; answers how long to wait, in ms. */
  begin(): number;
  reset(): void;
}

export function createPause(maxMs: number): Pause {
  let failures = 0;
  let untilMs = 0;
  return {
    get untilMs() {
      return untilMs;
    },
    begin() {
      const nowMs = Date.now();
      if (nowMs > untilMs + CALM_MS) failures = 0;
      failures += 1;
      const waitMs = failures === 1 ? 0 : Math.min(Math.round(LANE_RETRY_MS * GROWTH ** (failures - 2)), maxMs);
      untilMs = nowMs + waitMs;
      return waitMs;
    },
    reset() {
      failures = 0;
      untilMs = 0;
    },
  };
}

/**
 * Repeats a step of Postgres until it is done. @throws what the activity failed with where repeating cannot help
 */
export async function untilStored<T>(summary: string, work: () => Promise<T>): Promise<T> {
  const pause = createPause(STORE_PAUSE_MS_MAX);
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (isCancellation(error) || isPermanent(error)) throw error;
      await sleep(Math.max(1, pause.begin()), { summary });
    }
  }
}
