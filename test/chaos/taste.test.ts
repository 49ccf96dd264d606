/**
 * A taste of the fault suite: a few turns and faults of a fixed seed, all parts in processes of their own, and every promise kept.
 * Whether each kind of fault was met is asked of larger plans (`npm run chaos`).
 */
import { expect, it } from 'vitest';
import { FAULT_KINDS } from './plan/kinds.js';
import { makePlan } from './plan/plan.js';
import { printReport } from './report/report.js';
import { runPlan } from './run.js';

const TASTE_MS = 170_000;
/** Each of these takes seconds by itself. */
const SLOW = new Set(['worker-frozen', 'temporal-killed', 'wake-endless']);

it('keeps every promise under a few faults', { timeout: TASTE_MS }, async () => {
  const kinds = FAULT_KINDS.filter((kind) => !SLOW.has(kind));
  const plan = makePlan({ seed: 'taste', turns: 14, faults: 24, users: 4, kinds });
  const report = await runPlan(plan, { say: () => undefined, keepsData: false, judgesTimes: false });
  const broken = report.checks.filter(({ kept, name }) => !kept && name !== 'hits');
  expect(broken, printReport(report).join('\n')).toEqual([]);
  expect(report.effective).toBeGreaterThan(5);
});
