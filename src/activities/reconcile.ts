/** The reconciler's activities. They look at the provider's list, the ledger, the record and lanes; never into a machine. */
import { LISTING_KINDS, FINDING_KINDS, type ReconcileActivities } from '../contracts/reconcile.js';
import { resolveFindings } from '../store/findings.js';
import { now } from '../store/reconcile.js';
import { forgetSightings } from '../store/sightings.js';
import { activity } from './context.js';
import { withHeartbeat } from './heartbeat.js';
import { createReconcileProvider } from './reconcile-provider.js';
import { createReconcileUsers } from './reconcile-users.js';
import type { ReconcileDeps } from './reconcile-deps.js';

export function createReconcileActivities(deps: ReconcileDeps): ReconcileActivities {
  const { store } = deps;
  const onProvider = createReconcileProvider(deps);
  const onUsers = createReconcileUsers(deps);
  const run = <T>(phase: string, body: () => Promise<T>): Promise<T> =>
    activity(deps.log, () => withHeartbeat({ phase, step: 0 }, body));

  return {
    beginReconcile: () => run('begin', async () => ({ startedAtMs: (await now(store)).getTime() })),
    reconcileProvider: (input) => run('provider', () => onProvider(input)),
    reconcileUsers: (input) => run('users', () => onUsers(input)),
    endReconcile: ({ reconcileId, startedAtMs, isDryRun, isListingWhole }) =>
      run('end', async () => {
        await forgetSightings(store, reconcileId);
        if (isDryRun) return { resolved: 0 };
        const kinds = isListingWhole ? FINDING_KINDS : FINDING_KINDS.filter((kind) => !LISTING_KINDS.includes(kind));
        return { resolved: await resolveFindings(store, { since: new Date(startedAtMs), kinds }) };
      }),
  };
}
