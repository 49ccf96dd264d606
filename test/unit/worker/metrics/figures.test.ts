/**
 * Goal: what is counted is bounded, and counting never gets in the way of what is watched. Method: figures with a clock of the test's own,
 * read as they are served.
 */
import { describe, expect, it } from 'vitest';
import { TIMED_TURNS_MAX } from '../../../../src/contracts/limits.js';
import type { CommittedTurns } from '../../../../src/store/pool.js';
import { createFigures, quietly, type Figures } from '../../../../src/worker/metrics/figures.js';

const NOTHING: CommittedTurns = { startedTurns: [], settledCalls: [], endedTurns: [] };
const started = (...keys: string[]): CommittedTurns => ({
  ...NOTHING,
  startedTurns: keys.map((turnKey) => ({ turnKey, waitedMs: 250 })),
});

/** Lines of a metric, without help and buckets. */
async function linesOf({ registry }: Figures, name: string): Promise<string[]> {
  const text = await registry.getSingleMetricAsString(`innkeeper_${name}`);
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#') && !line.includes('_bucket'));
}

describe('the first live text of a turn', () => {
  it('is timed once, from the start that this worker saw', async () => {
    let now = 1_000;
    const figures = createFigures(() => now);
    figures.told('unseen');
    figures.committed(started('1', '2'));
    now += 2_000;
    for (const key of ['1', '1', 'unseen']) figures.told(key);
    figures.committed({ ...NOTHING, endedTurns: [{ turnKey: '2', outcome: 'cancelled', hasRun: true, code: null }] });
    figures.told('2');
    expect(await linesOf(figures, 'turn_first_delta_seconds')).toEqual([
      ...['innkeeper_turn_first_delta_seconds_sum 2', 'innkeeper_turn_first_delta_seconds_count 1'],
    ]);
    expect(await linesOf(figures, 'turn_queue_seconds')).toEqual([
      ...['innkeeper_turn_queue_seconds_sum 0.5', 'innkeeper_turn_queue_seconds_count 2'],
    ]);
  });

  it('is waited for in a bounded number of turns, the oldest given up', async () => {
    const figures = createFigures();
    figures.committed(started(...Array.from({ length: TIMED_TURNS_MAX + 1 }, (_, index) => String(index))));
    for (const key of ['0', '1']) figures.told(key);
    expect((await linesOf(figures, 'turn_first_delta_seconds')).at(-1)).toMatch(/_count 1$/);
  });
});

describe('an attempt of an activity', () => {
  it('that was given up is no failure', async () => {
    const figures = createFigures();
    for (const result of ['ok', 'CANCELLED', 'STALE_TRY'] as const) {
      figures.activityEnded({ activity: 'act', result, seconds: 1 });
    }
    expect(await linesOf(figures, 'activity_failures_total')).toEqual([
      'innkeeper_activity_failures_total{activity="act",code="STALE_TRY"} 1',
    ]);
    const counts = (await linesOf(figures, 'activity_seconds')).filter((line) => line.includes('_count'));
    expect(counts.map((line) => /result="(\w+)"/.exec(line)?.[1])).toEqual(['ok', 'cancelled', 'failed']);
  });
});

it('what cannot be counted is left out, and throws nothing', async () => {
  const figures = createFigures();
  figures.modelCalled({ result: 'ok', seconds: 1, usage: { inputTokens: -5, outputTokens: 1 } });
  figures.modelCalled({ result: 'ok', seconds: Number.NaN });
  figures.committed(undefined as unknown as CommittedTurns);
  expect(await linesOf(figures, 'model_calls_total')).toEqual(['innkeeper_model_calls_total{result="ok"} 2']);
  const thrown = quietly((): void => {
    throw new Error('no');
  });
  expect(thrown).not.toThrow();
});
