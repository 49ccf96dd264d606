/** Working on a lane's machine. A sleeper is never woken by attaching to it: the lane has to know, and wakes it. */
import { InnkeeperError } from '../contracts/errors.js';
import type { MachineProvider } from '../machines/provider.js';
import { nextAttachment } from '../store/calls.js';
import type { MachineRow } from '../store/machines.js';
import type { Store } from '../store/pool.js';
import { cancellationSignal, laneRun } from './context.js';
import { toGuestError } from './guest-errors.js';
import type { AttachTarget, Guests, HeldAttachment } from './guests.js';
import { isGone } from './ledger.js';

export interface OnMachineDeps {
  readonly store: Store;
  readonly machines: MachineProvider;
  readonly guests: Guests;
}

export type AttachableRow = MachineRow & { readonly machineId: string };

/**
 * Calls `work` with this worker's attachment to the machine. `boot`: only where it still runs the boot that the ledger knows
 * (what was installed since is there, its sleep is metered), or on any.
 * @throws what `work` throws; MACHINE_ASLEEP, MACHINE_LOST, GUEST_UNREACHABLE
 */
export async function onMachine<T>(
  { store, machines, guests }: OnMachineDeps,
  row: AttachableRow,
  { boot }: { readonly boot: 'known' | 'any' },
  work: (held: HeldAttachment) => Promise<T>,
): Promise<T> {
  const run = laneRun();
  const { generation, machineId, ownerNonce } = row;
  const bootId = boot === 'known' ? (row.bootId ?? undefined) : undefined;
  const target: AttachTarget = { generation, machineId, ownerNonce, bootId };

  async function nextNumber(signal: AbortSignal): Promise<number> {
    const found = await machines.find(machineId, { signal });
    if (isGone(found)) throw new InnkeeperError('MACHINE_LOST', 'The provider has lost the machine.');
    if (found.phase !== 'running') throw new InnkeeperError('MACHINE_ASLEEP', 'The machine is not awake.');
    return (await nextAttachment(store, run)).attachment;
  }

  try {
    return await guests.use(run.workflowId, target, { nextNumber, signal: cancellationSignal() }, work);
  } catch (error) {
    throw toGuestError(error);
  }
}
