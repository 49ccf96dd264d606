/** All activities of a worker, made from its parts. */
import { createAct } from './act.js';
import type { ActDeps } from './act.js';
import { createLaneActivities, type LaneActivityDeps } from './lane.js';
import { createMachineActivities } from './machine.js';
import type { MachineActivityDeps } from './machine-deps.js';
import { createStopCommand, type StopDeps } from './stop-command.js';
import { createThink, type ThinkDeps } from './think.js';
import { createCloseTurn } from './close-turn.js';
import type { LaneActivities, MachineActivities, TurnActivities } from '../contracts/activities.js';

export { createGuests } from './guests.js';
export { createKeepAwake } from './keep-awake.js';
export { toLogged } from './failure.js';

export type ActivityDeps = LaneActivityDeps & ThinkDeps & ActDeps & StopDeps & MachineActivityDeps;

export function createActivities(deps: ActivityDeps): LaneActivities & TurnActivities & MachineActivities {
  return {
    ...createLaneActivities(deps),
    ...createMachineActivities(deps),
    think: createThink(deps),
    act: createAct(deps),
    stopCommand: createStopCommand(deps),
    closeTurn: createCloseTurn(deps),
  };
}
