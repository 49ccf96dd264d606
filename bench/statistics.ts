/** Figures out of samples. */

export interface Figure {
  readonly count: number;
  readonly min: number;
  readonly p5: number;
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
}

/** Interpolates between the two nearest samples. @throws Error without samples */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  if (low === undefined || high === undefined) throw new Error('no samples to summarize');
  return low + (high - low) * (at - Math.floor(at));
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

export function summarize(samples: readonly number[]): Figure {
  return {
    count: samples.length,
    min: quantile(samples, 0),
    p5: quantile(samples, 0.05),
    p50: median(samples),
    p95: quantile(samples, 0.95),
    max: quantile(samples, 1),
  };
}

/** One line: median first, then the spread. */
export function toText(figure: Figure, digits = 1): string {
  const number = (value: number): string => value.toFixed(digits);
  const { count, min, p5, p50, p95, max } = figure;
  return `p50 ${number(p50)}   p5–p95 ${number(p5)}–${number(p95)}   min–max ${number(min)}–${number(max)}   n ${count}`;
}
