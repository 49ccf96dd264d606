/**
 * Runs of properties and models. `npm test` makes few; PROPERTY_FACTOR multiplies them. A failure prints its seed and path: with
 * PROPERTY_SEED and PROPERTY_PATH set to those, only that run is made.
 */
import type { Parameters } from 'fast-check';

/** Largest factor: beyond it nobody waits for the end. */
const FACTOR_MAX = 10_000;

export interface RunSettings {
  readonly numRuns: number;
  readonly seed?: number;
  readonly path?: string;
}

/** `numRuns` as in `npm test`. */
export function runs(numRuns: number): RunSettings {
  const { PROPERTY_FACTOR: factor, PROPERTY_SEED: seed, PROPERTY_PATH: path } = process.env;
  return {
    numRuns: Math.ceil(numRuns * Math.min(FACTOR_MAX, Number(factor ?? 1) || 1)),
    ...(seed === undefined ? {} : { seed: Number(seed) }),
    ...(path === undefined ? {} : { path }),
  };
}

/**
 * For models on real parts: a run takes seconds, so shrinking would take hours. The first failure is reported as it is, with the
 * way to repeat it.
 */
export function modelRuns<T>(numRuns: number): Parameters<T> {
  return { ...runs(numRuns), endOnFailure: true, verbose: 1 };
}
