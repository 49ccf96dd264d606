/** Paired samples: baseline and subject by turns, each going first as often as the other, so that drift falls on both alike. */

export interface Pair {
  readonly baseline: number;
  readonly subject: number;
}

export async function samplePairs(
  count: number,
  measure: { readonly baseline: () => Promise<number>; readonly subject: () => Promise<number> },
): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (let pair = 0; pair < count; pair += 1) {
    if (pair % 2 === 0) {
      const baseline = await measure.baseline();
      pairs.push({ baseline, subject: await measure.subject() });
    } else {
      const subject = await measure.subject();
      pairs.push({ baseline: await measure.baseline(), subject });
    }
  }
  return pairs;
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}
