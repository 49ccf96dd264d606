/** What a benchmark is. Each starts the whole stack for itself, so that none depends on what ran before it. */

export interface BenchmarkContext {
  /** 1: as published. Smaller: fewer samples, for a quick look. */
  readonly scale: number;
  /** Where the worker writes CPU profiles; undefined: none. Profiling costs time: no figures to publish then. */
  readonly profileDir: string | undefined;
  /** Prints one line of progress or detail. */
  say(line: string): void;
}

/** Bound of a metric, in the metric's own unit. */
export type Target = { readonly max: number } | { readonly min: number };

export interface Benchmark {
  readonly name: string;
  /** What it measures, in one line. */
  readonly title: string;
  /** Metrics with a target; others are only reported. */
  readonly targets: Readonly<Record<string, Target>>;
  run(context: BenchmarkContext): Promise<Readonly<Record<string, number>>>;
}

/** A number of samples at this scale, never below `least`. */
export function scaled(context: BenchmarkContext, count: number, least = 3): number {
  return Math.max(least, Math.round(count * context.scale));
}

export function isMet(target: Target, value: number): boolean {
  return 'max' in target ? value <= target.max : value >= target.min;
}
