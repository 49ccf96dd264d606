/** Deleting machines: the ledger keeps a tombstone, and no machine is forgotten before the provider has committed its end. */
import { InnkeeperError } from '../contracts/errors.js';
import type { MachineView } from '../contracts/lane-state.js';
import type { MachineProvider } from '../machines/provider.js';
import { buryMachine, getMachineOfLane, recordCreated, setPhase, type MachineRow } from '../store/machines.js';
import type { Store } from '../store/pool.js';
import { beginDestroyOfLane, settleDestroyed } from '../store/users.js';
import { cancellationSignal, laneRun } from './context.js';
import type { Guests } from './guests.js';
import { withRevision } from './machine-requests.js';

export interface DestroyDeps {
  readonly store: Store;
  readonly machines: MachineProvider;
  readonly guests: Guests;
  readonly autosleepSeconds: number;
  readonly newKey: () => string;
}

/** Deletes the row's machine at the provider, if it has one, and turns the row into a tombstone. */
export async function bury(deps: DestroyDeps, row: MachineRow, reason: string): Promise<void> {
  const { store, machines } = deps;
  const { generation } = row;
  const machineId = row.machineId ?? (await findCreated(deps, row));
  await deps.guests.drop(laneRun().workflowId);
  let existedUntil = new Date().toISOString();
  const machine =
    machineId === undefined ? undefined : await machines.find(machineId, { signal: cancellationSignal() });
  if (machineId !== undefined && machine !== undefined && machine.phase !== 'destroying') {
    await withRevision(deps, { kind: 'destroy', generation, machine }, (options) =>
      machines.destroy(machineId, options),
    );
    const gone = await machines.find(machineId, { signal: cancellationSignal() });
    existedUntil = gone?.lastTransitionAt ?? existedUntil;
  }
  await buryMachine(store, { ...laneRun(), generation, existedUntil, reason });
}

/** A create whose answer never came: its key tells which machine it made. */
async function findCreated(deps: DestroyDeps, row: MachineRow): Promise<string | undefined> {
  if (row.phase !== 'provisioning' && row.phase !== 'destroying') return undefined;
  const { vcpu, memoryMib, storageGib, createKey, generation } = row;
  try {
    const { machineId } = await deps.machines.create(
      { vcpu, memoryMib, storageGib, autosleepSeconds: deps.autosleepSeconds },
      { idempotencyKey: createKey, signal: cancellationSignal() },
    );
    await recordCreated(deps.store, { ...laneRun(), generation, machineId });
    return machineId;
  } catch (error) {
    if (InnkeeperError.is(error) && error.code === 'PROVIDER_REFUSED') return undefined;
    throw error;
  }
}

export function createDestroyMachine(deps: DestroyDeps): () => Promise<MachineView> {
  return async () => {
    await beginDestroyOfLane(deps.store, laneRun());
    const row = await getMachineOfLane(deps.store, laneRun());
    if (row !== undefined) {
      await setPhase(deps.store, { ...laneRun(), generation: row.generation, phase: 'destroying' });
      await bury(deps, row, 'the user was destroyed');
    }
    await settleDestroyed(deps.store, laneRun());
    return { phase: 'destroyed', generation: row?.generation ?? 0, machineId: undefined };
  };
}
