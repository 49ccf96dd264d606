/** Quiescence: what is left of a run when nobody asks for anything any more, and one reconcile has passed. */
import type { RunContext } from './run-context.js';
import { within } from './surely.js';

const QUIET_MS_MAX = 90_000;
const POLL_MS = 250;

/** Waits until no turn is open, no machine is between two phases, and no destroyed user has one. */
export async function untilQuiet({ rig, journal }: RunContext): Promise<void> {
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
