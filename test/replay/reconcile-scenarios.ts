/** What is recorded of reconciles: each scenario is one from its beginning to its end. */
import type { TestReconcile } from '../workflow/support/reconcile-harness.js';
import { findingOf } from '../workflow/support/reconcile-script.js';

export interface ReconcileScenario {
  readonly name: string;
  /** Plays it to its end. */
  reconcile(one: TestReconcile): Promise<void>;
}

/** Pages of each list, so many that no run's history holds them all. */
const MANY_PAGES = 90;

export const RECONCILE_SCENARIOS: readonly ReconcileScenario[] = [
  {
    name: 'reconcile',
    async reconcile({ script, run }) {
      script.providerPages.splice(0, 1, { findings: [findingOf('dm-1')], destroyed: 1 }, {});
      script.userPages.splice(0, 1, { findings: [findingOf('dm-2')] }, {});
      await run({ isDryRun: false });
    },
  },
  { name: 'reconcile-dry-run', reconcile: async ({ run }) => void (await run({ isDryRun: true })) },
  {
    name: 'reconcile-in-trouble',
    async reconcile({ script, run }) {
      for (const step of ['beginReconcile', 'reconcileUsers', 'endReconcile'] as const) {
        script.fail(step, 'STORE_UNAVAILABLE', { isRetryable: true });
      }
      script.providerPages.push('PROVIDER_UNAUTHORIZED');
      await run();
    },
  },
  {
    name: 'reconcile-in-a-circle',
    async reconcile({ script, run }) {
      script.providerPages.splice(0, 1, {}, { nextCursor: '1' });
      await run();
    },
  },
  {
    name: 'reconcile-of-many',
    async reconcile({ script, run }) {
      script.providerPages.splice(0, 1, ...Array.from({ length: MANY_PAGES }, () => ({})));
      script.userPages.splice(0, 1, ...Array.from({ length: MANY_PAGES }, () => ({})));
      await run();
    },
  },
  {
    name: 'reconcile-without-a-record',
    async reconcile({ script, run }) {
      script.userPages[0] = 'STORE_NOT_MIGRATED';
      await run().catch(() => undefined);
    },
  },
];
