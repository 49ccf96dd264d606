/** Working on a lane's machine. A sleeper is never woken by attaching to it: the lane has to know, and wakes it. */
import { InnkeeperError } from '../contracts/errors.js';
import type { MachineProvider } from '../machines/provider.js';
import { nextAttachment, type CallTry } from '../store/calls.js';
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

export interface OnMachineOptions {
  /** Only where it still runs the boot that the ledger knows (what was installed since is there, its sleep is metered), or on any. */
  readonly boot: 'known' | 'any';
  /** The attempt that this is for: once there is a newer one, it attaches no more. */
  readonly forTry?: CallTry;
}

/** Times that a terminal that was cut is opened again at once; after that, at the pace of the activity's retries. */
const REATTACHMENTS_MAX = 2;

/**
 * Calls `work` with this worker's attachment to the machine, and again with another one where its channel was cut: a retry of the
 * activity would do the same, about a second later (Temporal's dev server, whatever the interval).
 * @throws what `work` throws; MACHINE_ASLEEP, MACHINE_LOST, GUEST_UNREACHABLE, STALE_TRY
 */
export async function onMachine<T>(
  { store, machines, guests }: OnMachineDeps,
  row: AttachableRow,
  { boot, forTry }: OnMachineOptions,
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
    return (await nextAttachment(store, laneRun(), forTry)).attachment;
  }

  for (let losses = 0; ; losses += 1) {
    try {
      return await guests.use(run.workflowId, target, { nextNumber, signal: cancellationSignal() }, work);
    } catch (error) {
      const isCut = InnkeeperError.is(error) && error.code === 'GUEST_UNREACHABLE';
      if (!isCut || losses === REATTACHMENTS_MAX) throw toGuestError(error);
    }
  }
}
