/** All activities of a worker, made from its parts. */
import { createAct } from './act.js';
import type { ActDeps } from './act.js';
import { createLaneActivities, type LaneActivityDeps } from './lane.js';
import { createMachineActivities } from './machine.js';
import { createReconcileActivities } from './reconcile.js';
import type { ReconcileDeps } from './reconcile-deps.js';
import type { MachineActivityDeps } from './machine-deps.js';
import { createStopCommand, type StopDeps } from './stop-command.js';
import { createThink, type ThinkDeps } from './think.js';
import { createCloseTurn } from './close-turn.js';
import type { LaneActivities, MachineActivities, TurnActivities } from '../contracts/activities.js';
import type { ReconcileActivities } from '../contracts/reconcile.js';

export { createGuests } from './guests.js';
export { createKeepAwake } from './keep-awake.js';
export { toLogged } from './failure.js';

export type ActivityDeps = LaneActivityDeps & ThinkDeps & ActDeps & StopDeps & MachineActivityDeps & ReconcileDeps;
export type Activities = LaneActivities & TurnActivities & MachineActivities & ReconcileActivities;

export function createActivities(deps: ActivityDeps): Activities {
  return {
    ...createLaneActivities(deps),
    ...createMachineActivities(deps),
    ...createReconcileActivities(deps),
    think: createThink(deps),
    act: createAct(deps),
    stopCommand: createStopCommand(deps),
    closeTurn: createCloseTurn(deps),
  };
}
