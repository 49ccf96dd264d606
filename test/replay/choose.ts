/**
 * Chooses among the histories of a real run, the fault suite's (`npm run chaos -- --histories D`), the few that cover whatever all of
 * them cover: each next one is the one that adds most, and of those the shortest.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { coverageOf } from './coverage.js';

export interface RealHistory {
  readonly workflowId: string;
  readonly json: unknown;
  readonly covers: readonly string[];
}

/** A longer one is left out: what is committed is downloaded by everybody. */
const EVENTS_MAX = 700;

/** @param covered what need not be covered again */
export function chooseFrom(folder: string, covered: ReadonlySet<string>): RealHistory[] {
  const candidates = readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => readCandidate(join(folder, file)))
    .filter(({ size }) => size <= EVENTS_MAX);
  const uncovered = new Set(candidates.flatMap(({ covers }) => covers).filter((line) => !covered.has(line)));
  const chosen: RealHistory[] = [];
  while (uncovered.size > 0) {
    const added = (covers: readonly string[]): number => covers.filter((line) => uncovered.has(line)).length;
    const [best] = candidates.toSorted(
      (one, other) => added(other.covers) - added(one.covers) || one.size - other.size,
    );
    if (best === undefined) break;
    chosen.push(best);
    for (const line of best.covers) uncovered.delete(line);
  }
  return chosen;
}

function readCandidate(file: string): RealHistory & { readonly size: number } {
  const { workflowId, history } = JSON.parse(readFileSync(file, 'utf8')) as { workflowId: string; history: unknown };
  const events = historyFromJSON(history).events ?? [];
  return { workflowId, json: history, covers: coverageOf(events), size: events.length };
}
