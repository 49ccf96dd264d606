/** Activities of the machine's lifecycle: each finishes what an earlier attempt began, by stored keys and revisions. */
import type { MachineActivities } from '../contracts/activities.js';
import type { MachineView } from '../contracts/lane-state.js';
import { activity, cancellationSignal, laneRun } from './context.js';
import { createDestroyMachine } from './destroy-machine.js';
import { createEnterMachine } from './enter-machine.js';
import { withHeartbeat } from './heartbeat.js';
import { isGone, machineOfLane, movePhase, toView, transitionOf } from './ledger.js';
import type { MachineActivityDeps } from './machine-deps.js';
import { findSurely } from './machine-polls.js';
import { createProvisionMachine } from './provision-machine.js';
import { createSleepMachine } from './sleep-machine.js';

export function createMachineActivities(deps: MachineActivityDeps): MachineActivities {
  const provision = createProvisionMachine(deps);
  const { bootstrap, wake } = createEnterMachine(deps);
  const sleep = createSleepMachine(deps);
  const destroy = createDestroyMachine(deps);

  async function markLost(generation: number): Promise<MachineView> {
    const row = await machineOfLane(deps.store);
    if (row === undefined || row.generation !== generation || row.machineId === null) return toView(row);
    const found = await findSurely(deps, row.machineId, cancellationSignal());
    // Reported, but not so: carry on with it.
    if (!isGone(found)) return toView(row);
    await deps.guests.drop(laneRun().workflowId);
    const lostReason =
      found?.phase === 'failed'
        ? (found.lastError ?? found.reason ?? 'it failed at the provider')
        : 'the provider no longer has it';
    return movePhase(deps.store, {
      generation,
      phase: 'failed',
      fields: { lostReason },
      awakeUntil: transitionOf(found),
    });
  }

  const run = <T>(phase: string, body: () => Promise<T>): Promise<T> =>
    activity(deps.log, () => withHeartbeat({ phase, step: 0 }, body));

  return {
    provisionMachine: () => run('provision', provision),
    bootstrapMachine: () => run('bootstrap', bootstrap),
    wakeMachine: () => run('wake', wake),
    sleepMachine: () => run('sleep', sleep),
    markMachineLost: ({ generation }) => run('lost', () => markLost(generation)),
    destroyMachine: () => run('destroy', destroy),
  };
}
