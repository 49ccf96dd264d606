/**
 * The activity `stopCommand`: makes sure that no submitted command of a turn runs or can ever start, and records it. Used for a
 * cancel, and for a turn that an earlier lane left behind. Works when the command's own worker is dead.
 */
import type { TurnActivities } from '../contracts/activities.js';
import { InnkeeperError } from '../contracts/errors.js';
import { renderStatus } from '../guest/tools.js';
import type { MachineProvider } from '../machines/provider.js';
import { nextAttachment, unsettledCalls, type UnsettledCall } from '../store/calls.js';
import { adoptTurn } from '../store/next-turn.js';
import { withTransaction, type Store } from '../store/pool.js';
import { settleCall } from '../store/settle.js';
import { activity, cancellationSignal, laneRun, withHeartbeat, type ActivityLog } from './context.js';
import { toGuestError } from './guest-errors.js';
import type { Guests } from './guests.js';
import { machineOfLane } from './ledger.js';
import { GONE, settlementOf, type Over } from './settlement.js';

export interface StopDeps {
  readonly store: Store;
  readonly machines: MachineProvider;
  readonly guests: Guests;
  readonly log: ActivityLog;
}

export function createStopCommand(deps: StopDeps): TurnActivities['stopCommand'] {
  const { store, guests } = deps;

  async function stop(call: UnsettledCall): Promise<Over> {
    const run = laneRun();
    const machine = await machineOfLane(store);
    // The machine that it ran on is no more: nothing can run there.
    if (machine === undefined || machine.generation !== call.submitted.generation || machine.machineId === null)
      return GONE;
    if (machine.phase === 'failed' || machine.phase === 'destroyed') return GONE;
    const { generation, machineId, ownerNonce } = machine;
    const held = guests.peek(run.workflowId);
    if (held === undefined) await assertAwake(machineId);
    const attachment = await guests.attach(
      run.workflowId,
      { generation, machineId, ownerNonce },
      { nextNumber: async () => (await nextAttachment(store, run)).attachment, signal: cancellationSignal() },
    );
    return attachment.guest.stop(call.cmdId, { signal: cancellationSignal(), submittedBootId: call.submitted.bootId });
  }

  /** Attaching would wake a sleeper without the lane knowing: the lane wakes it first. */
  async function assertAwake(machineId: string): Promise<void> {
    const machine = await deps.machines.find(machineId, { signal: cancellationSignal() });
    if (machine === undefined || machine.phase === 'failed' || machine.phase === 'destroyed') {
      throw new InnkeeperError('MACHINE_LOST', 'The machine is gone.');
    }
    if (machine.phase !== 'running') throw new InnkeeperError('MACHINE_ASLEEP', 'The machine is not awake.');
  }

  return ({ turnKey, as }) =>
    activity(deps.log, async () => {
      const run = laneRun();
      const calls = await unsettledCalls(store, { turnKey });
      try {
        await withHeartbeat({ phase: 'stop', step: calls[0]?.step ?? 0 }, async () => {
          for (const call of calls) {
            const status = await stop(call);
            const { step, index } = call;
            await settleCall(store, {
              ...run,
              turnKey,
              step,
              index,
              try: null,
              ...settlementOf(status, as, renderStatus(status)),
            });
          }
        });
      } catch (error) {
        throw await toGuestError(error, { guests, workflowId: run.workflowId });
      }
      await withTransaction(store, (tx) => adoptTurn(tx, { ...run, turnKey }));
      return { stopped: calls.length };
    });
}
