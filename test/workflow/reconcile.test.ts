/**
 * Goal: a reconcile goes through both lists to their ends, whatever fails on the way, and never takes half a list for a whole one.
 * Method: scripted activities, which note what they were asked; the workflow is the real one.
 */
import { WorkflowFailedError } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RECONCILE_DESTROYS_MAX, RECONCILE_REPORTED_MAX } from '../../src/contracts/limits.js';
import type { ProviderPageInput, UserPageInput } from '../../src/contracts/reconcile.js';
import { testTemporal } from '../support/servers.js';
import { failedTasks, ofType, summaryOf } from './support/history.js';
import { startLaneHarness, type LaneHarness } from './support/lane-harness.js';
import { findingOf } from './support/reconcile-script.js';

let harness: LaneHarness;
beforeAll(async () => {
  harness = await startLaneHarness((await testTemporal()).address);
});
afterAll(() => harness.close());

/** More pages than one run's history is to hold. */
const MANY_PAGES = 200;

describe('a reconcile', () => {
  it('asks for page after page, the provider first, and adds up what was found', async () => {
    const { script, run } = harness.newReconcile();
    const [one, two, three] = ['m-1', 'm-2', 'm-3'].map((subject) => findingOf(subject));
    script.providerPages.splice(0, 1, { findings: [one!], destroyed: 1 }, { machines: 5, findings: [two!] });
    script.userPages.splice(0, 1, { users: 2 }, { findings: [three!] });
    const report = await run();
    expect(report).toEqual({
      ...{ reconcileId: expect.any(String) as string, isDryRun: false, listing: 'whole' },
      ...{ machines: 6, users: 3, resolved: 3, findings: [one, two, three], findingCount: 3 },
    });
    expect(script.asked.map(({ step }) => step)).toEqual([
      'beginReconcile',
      ...['reconcileProvider', 'reconcileProvider', 'reconcileUsers', 'reconcileUsers'],
      'endReconcile',
    ]);
    const ref = { reconcileId: report.reconcileId, startedAtMs: 1_000, isDryRun: false };
    expect(script.inputsOf<ProviderPageInput>('reconcileProvider')).toEqual([
      { ...ref, cursor: null, destroysLeft: RECONCILE_DESTROYS_MAX },
      { ...ref, cursor: '1', destroysLeft: RECONCILE_DESTROYS_MAX - 1 },
    ]);
    expect(script.inputsOf('reconcileUsers')).toEqual([
      { ...ref, after: '', isListingWhole: true },
      { ...ref, after: '1', isListingWhole: true },
    ]);
    expect(script.inputsOf('endReconcile')).toEqual([{ ...ref, isListingWhole: true }]);
  });

  it('tells every activity that it is a dry run', async () => {
    const { script, run } = harness.newReconcile();
    expect(await run({ isDryRun: true })).toMatchObject({ isDryRun: true });
    const inputs = script.asked.slice(1).map(({ input }) => (input as UserPageInput).isDryRun);
    expect(inputs).toEqual([true, true, true]);
  });

  it.each([[7], ['do it'], [{}], [{ isDryRun: 'no' }], [{ isDryRun: false, progress: { stage: 'users' } }]])(
    'takes the argument %j, which it cannot read, for a dry run',
    async (argument) => {
      const { run } = harness.newReconcile();
      expect(await run(argument)).toMatchObject({ isDryRun: true });
    },
  );

  it('repeats a page that fails and may not fail again', async () => {
    const { script, run } = harness.newReconcile();
    script.fail('reconcileProvider', 'PROVIDER_UNAVAILABLE', { times: 2, isRetryable: true });
    script.fail('reconcileUsers', 'TEMPORAL_UNAVAILABLE', { isRetryable: true });
    expect(await run()).toMatchObject({ listing: 'whole', machines: 1, users: 1 });
    expect(script.inputsOf('reconcileProvider')).toHaveLength(3);
  });

  it('looks after turns where the list cannot be had whole, and says nothing of machines', async () => {
    const { script, run } = harness.newReconcile();
    script.providerPages.push('PROVIDER_UNAUTHORIZED');
    expect(await run()).toMatchObject({ listing: 'PROVIDER_UNAUTHORIZED', machines: 1, users: 1 });
    expect(script.inputsOf<UserPageInput>('reconcileUsers')).toMatchObject([{ isListingWhole: false }]);
    expect(script.inputsOf('endReconcile')).toMatchObject([{ isListingWhole: false }]);
  });

  it('does not take a list that goes in a circle for a whole one', async () => {
    const { script, run } = harness.newReconcile();
    script.providerPages.splice(0, 1, {}, { nextCursor: '1' });
    expect(await run()).toMatchObject({ listing: 'PROVIDER_REFUSED', machines: 2 });
    expect(script.inputsOf('reconcileUsers')).toMatchObject([{ isListingWhole: false }]);
  });

  it('fails where the record cannot be read, and closes nothing', async () => {
    const { script, run } = harness.newReconcile();
    script.fail('reconcileUsers', 'STORE_NOT_MIGRATED');
    await expect(run()).rejects.toThrow(WorkflowFailedError);
    expect(script.inputsOf('endReconcile')).toEqual([]);
  });

  it('goes on in another run where its history gets long, and names so many findings at most', async () => {
    const { script, run, allRuns, events } = harness.newReconcile();
    const page = { findings: [findingOf('m-1'), findingOf('m-2')] };
    script.providerPages.splice(0, 1, ...Array.from({ length: MANY_PAGES }, () => page));
    script.userPages.splice(0, 1, ...Array.from({ length: MANY_PAGES }, () => ({})));
    const report = await run();
    expect(report).toMatchObject({ machines: MANY_PAGES, users: MANY_PAGES, findingCount: 2 * MANY_PAGES });
    expect(report.findings).toHaveLength(RECONCILE_REPORTED_MAX);
    const cursors = script.inputsOf<ProviderPageInput>('reconcileProvider').map(({ cursor }) => Number(cursor ?? 0));
    expect(cursors).toEqual(Array.from({ length: MANY_PAGES }, (_, index) => index));
    const ids = script.asked.slice(1).map(({ input }) => (input as UserPageInput).reconcileId);
    expect(new Set(ids).size).toBe(1);
    const runs = await Promise.all((await allRuns()).map(events));
    expect(runs.length).toBeGreaterThan(1);
    for (const run of runs) {
      expect(run.length).toBeLessThan(1_100);
      expect(failedTasks(run)).toEqual([]);
      const bare = ofType(run, 'activityTaskScheduled').filter((event) => (summaryOf(event) ?? '') === '');
      expect(bare).toEqual([]);
    }
  });
});
