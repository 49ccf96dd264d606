/** Paired samples: baseline and subject by turns, each going first as often as the other, so that drift falls on both alike. */
import { setTimeout as delay } from 'node:timers/promises';

/** People do not answer within this time: what a turn leaves to be done behind its result is over before the next one. */
const REST_MS = 200;

export interface Pair {
  readonly baseline: number;
  readonly subject: number;
}

const BASELINE_FIRST = ['baseline', 'subject'] as const;
const SUBJECT_FIRST = ['subject', 'baseline'] as const;

export async function samplePairs(
  count: number,
  measure: { readonly baseline: () => Promise<number>; readonly subject: () => Promise<number> },
): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (let pair = 0; pair < count; pair += 1) {
    const measured: Partial<Record<keyof Pair, number>> = {};
    for (const which of pair % 2 === 0 ? BASELINE_FIRST : SUBJECT_FIRST) {
      await delay(REST_MS);
      measured[which] = await measure[which]();
    }
    pairs.push(measured as Pair);
  }
  return pairs;
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}
