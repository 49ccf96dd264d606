/** Quiescence: what is left of a run when nobody asks for anything any more, and the reconciler has nothing left to do. */
import { reconcileOnce } from '../e2e/support/reconcile.js';
import type { RunContext } from './run-context.js';
import { surely, within } from './surely.js';

const QUIET_MS_MAX = 90_000;
/** Longer than the grace period of a machine that nobody knows (rig.ts). */
const RECONCILED_MS_MAX = 60_000;
const POLL_MS = 250;

/** Waits until no turn is open, no machine is between two phases, and a whole reconcile finds nothing that it has to act upon. */
export async function untilQuiet(context: RunContext): Promise<void> {
  await untilSettled(context);
  await untilReconciled(context);
  // What the reconciler told lanes is done too.
  await untilSettled(context);
}

async function untilSettled({ rig, journal }: RunContext): Promise<void> {
  const unsettled = async (): Promise<string[]> =>
    (
      await rig.sql<{ what: string }>(
        `select concat_ws(' ', 'turn', user_id, turn_id, state) as what from turns where state in ('queued', 'running')
         union all
         select concat_ws(' ', 'machine', user_id, phase) from machines where phase not in ('asleep', 'destroyed', 'failed')`,
      )
    ).map(({ what }) => what);
  let left: string[] = [];
  const isQuiet = await within(QUIET_MS_MAX, async () => (left = await unsettled()).length === 0, POLL_MS);
  if (!isQuiet) journal.complain(`not quiet after ${QUIET_MS_MAX / 1_000} s: ${left.join('; ')}`);
}

async function untilReconciled({ rig, journal }: RunContext): Promise<void> {
  const { taskQueue } = rig.stack;
  let left: string[] = [];
  const isReconciled = await within(
    RECONCILED_MS_MAX,
    async () => {
      const { listing, findings } = await surely(() => reconcileOnce(rig.lanes, { taskQueue }));
      // What is only reported is its lane's, which sees to it at the next turn.
      const due = findings.filter(({ action }) => action !== 'report');
      left = [...(listing === 'whole' ? [] : [listing]), ...due.map(({ kind, subject }) => `${kind} ${subject}`)];
      return left.length === 0;
    },
    POLL_MS,
  );
  if (!isReconciled) journal.complain(`not reconciled after ${RECONCILED_MS_MAX / 1_000} s: ${left.join('; ')}`);
}
