/** Deleting machines: the ledger keeps a tombstone, and no machine is forgotten before the provider has committed its end. */
import { InnkeeperError } from '../contracts/errors.js';
import type { MachineView } from '../contracts/lane-state.js';
import type { MachineProvider } from '../machines/provider.js';
import { buryMachine, setPhase, type MachineRow } from '../store/machines.js';
import type { Store } from '../store/pool.js';
import { settleDestroyed } from '../store/user-end.js';
import { requestDestroy } from '../store/users.js';
import { cancellationSignal, laneRun } from './context.js';
import type { Guests } from './guests.js';
import { createAs, machineOfLane, transitionOf, userOfLane } from './ledger.js';
import { withRevision } from './machine-requests.js';

export interface DestroyDeps {
  readonly store: Store;
  readonly machines: MachineProvider;
  readonly guests: Guests;
  readonly newKey: () => string;
}

/** Deletes the row's machine at the provider, if it has one, and turns the row into a tombstone. */
export async function bury(deps: DestroyDeps, row: MachineRow, lostReason: string): Promise<void> {
  const { store, machines } = deps;
  const { generation } = row;
  const machineId = row.machineId ?? (await findCreated(deps, row));
  await deps.guests.drop(laneRun().workflowId);
  let existedUntil = new Date();
  const machine =
    machineId === undefined ? undefined : await machines.find(machineId, { signal: cancellationSignal() });
  if (machineId !== undefined && machine !== undefined && machine.phase !== 'destroying') {
    await withRevision(deps, { kind: 'destroy', generation, machine }, (options) =>
      machines.destroy(machineId, options),
    );
    const gone = await machines.find(machineId, { signal: cancellationSignal() });
    existedUntil = transitionOf(gone);
  }
  await buryMachine(store, { ...laneRun(), generation, existedUntil, lostReason: row.lostReason ?? lostReason });
}

/** A create whose answer never came: its key tells which machine it made. */
async function findCreated(deps: DestroyDeps, row: MachineRow): Promise<string | undefined> {
  if (row.phase !== 'provisioning' && row.phase !== 'destroying') return undefined;
  try {
    const { machineId } = await createAs(deps.machines, row);
    return machineId;
  } catch (error) {
    if (InnkeeperError.is(error) && error.code === 'PROVIDER_REFUSED') return undefined;
    throw error;
  }
}

export function createDestroyMachine(deps: DestroyDeps): () => Promise<MachineView> {
  return async () => {
    const { userId } = await userOfLane(deps.store);
    await requestDestroy(deps.store, userId);
    const row = await machineOfLane(deps.store);
    if (row !== undefined) {
      await setPhase(deps.store, { ...laneRun(), generation: row.generation, phase: 'destroying' });
      await bury(deps, row, 'the user was destroyed');
    }
    await settleDestroyed(deps.store, laneRun());
    return { phase: 'destroyed', generation: row?.generation ?? 0, machineId: undefined };
  };
}
