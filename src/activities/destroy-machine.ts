/** Deleting machines: the ledger keeps a tombstone, and no machine is forgotten before the provider has committed its end. */
import { InnkeeperError } from '../contracts/errors.js';
import type { MachineView } from '../contracts/lane-state.js';
import type { Machine } from '../machines/provider.js';
import { buryMachine, type MachineRow } from '../store/machines.js';
import { settleDestroyed, settleOpenTurns } from '../store/user-end.js';
import { requestDestroy } from '../store/users.js';
import { cancellationSignal, laneRun } from './context.js';
import { createAs, machineOfLane, movePhase, transitionOf, userOfLane } from './ledger.js';
import type { MachineActivityDeps } from './machine-deps.js';
import { findSurely } from './machine-polls.js';
import { withRevision } from './machine-requests.js';

/**
 * Deletes the row's machine at the provider, if it has one, and turns the row into a tombstone.
 * @param lostReason what the next generation's agent is told; undefined: nothing was lost
 */
export async function bury(deps: MachineActivityDeps, row: MachineRow, lostReason: string | undefined): Promise<void> {
  const { store, machines } = deps;
  const { generation } = row;
  const signal = cancellationSignal();
  const machineId = row.machineId ?? (await findCreated(deps, row));
  // One that failed was looked for thoroughly when that was found out.
  const find = (id: string): Promise<Machine | undefined> =>
    row.phase === 'failed' ? machines.find(id, { signal }) : findSurely(deps, id, signal);
  await deps.guests.drop(laneRun().workflowId);
  const machine = machineId === undefined ? undefined : await find(machineId);
  let existedUntil = transitionOf(undefined);
  if (machineId !== undefined && machine !== undefined && machine.phase !== 'destroying') {
    await withRevision(deps, { kind: 'destroy', generation, machine }, (options) =>
      machines.destroy(machineId, options),
    );
    existedUntil = transitionOf(await machines.find(machineId, { signal }));
  }
  const reason = row.lostReason ?? lostReason;
  const told = reason === undefined ? {} : { lostReason: reason };
  await buryMachine(store, { ...laneRun(), generation, existedUntil, ...told });
}

/** A create whose answer never came: its key tells which machine it made. */
async function findCreated(deps: MachineActivityDeps, row: MachineRow): Promise<string | undefined> {
  if (row.phase !== 'provisioning' && row.phase !== 'destroying') return undefined;
  try {
    const { machineId } = await createAs(deps.machines, row);
    return machineId;
  } catch (error) {
    if (InnkeeperError.is(error) && error.code === 'PROVIDER_REFUSED') return undefined;
    throw error;
  }
}

export function createDestroyMachine(deps: MachineActivityDeps): () => Promise<MachineView> {
  const { store } = deps;
  return async () => {
    const { userId } = await userOfLane(store);
    await requestDestroy(store, userId);
    // Whoever waits for one of them need not wait for the provider.
    await settleOpenTurns(store, laneRun());
    const row = await machineOfLane(store);
    if (row !== undefined) {
      await movePhase(store, { generation: row.generation, phase: 'destroying' });
      await bury(deps, row, 'the user was destroyed');
    }
    await settleDestroyed(store, laneRun());
    return { phase: 'destroyed', generation: row?.generation ?? 0, machineId: undefined };
  };
}
