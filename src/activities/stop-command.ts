/**
 * The activity `stopCommand`: makes sure that no submitted command of a turn runs or can ever start, and records it. Used for a
 * cancel, and for a turn that an earlier lane left behind. Works when the command's own worker is dead.
 */
import type { StopWord, TurnActivities } from '../contracts/activities.js';
import { callsToStop, type UnsettledCall } from '../store/calls.js';
import { adoptTurn } from '../store/next-turn.js';
import { withTransaction } from '../store/pool.js';
import { settleCall } from '../store/settle.js';
import { activity, cancellationSignal, laneRun, type ActivityLog } from './context.js';
import type { HeldAttachment } from './guests.js';
import { withHeartbeat } from './heartbeat.js';
import { machineOfLane } from './ledger.js';
import { onMachine, type OnMachineDeps } from './on-machine.js';
import { settlementOf, settlementOfReplaced, type Over, type Settlement } from './settlement.js';

export interface StopDeps extends OnMachineDeps {
  readonly log: ActivityLog;
}

export function createStopCommand(deps: StopDeps): TurnActivities['stopCommand'] {
  const { store } = deps;

  async function stop(call: UnsettledCall, as: StopWord): Promise<Settlement> {
    const row = await machineOfLane(store);
    // The machine that it ran on is no more: nothing can run there.
    if (row === undefined || row.machineId === null || row.generation !== call.submitted.generation) {
      return settlementOfReplaced();
    }
    if (row.phase === 'failed' || row.phase === 'destroyed') return settlementOfReplaced();
    const machine = { ...row, machineId: row.machineId };
    return settlementOf(await onMachine(deps, machine, { boot: 'any' }, (held) => stopOn(held, call)), as);
  }

  return ({ turnKey, as }) =>
    activity(deps.log, () =>
      withHeartbeat({ phase: 'stop', step: 0 }, async (report) => {
        const calls = await callsToStop(store, { ...laneRun(), turnKey, as });
        for (const call of calls) {
          const { step, index } = call;
          report({ step });
          const settlement = await stop(call, as);
          await settleCall(store, { ...laneRun(), turnKey, step, index, try: null, ...settlement });
        }
        await withTransaction(store, (tx) => adoptTurn(tx, { ...laneRun(), turnKey }));
        return { stopped: calls.length };
      }),
    );
}

async function stopOn({ guest }: HeldAttachment, { cmdId, submitted }: UnsettledCall): Promise<Over> {
  const { bootId } = submitted;
  const status = await guest.stop(cmdId, { signal: cancellationSignal(), submittedBootId: bootId });
  // The journal knows nothing of it, but this is not the boot that it was sent to: the disk may have gone back in time.
  const mayHaveRun =
    status.kind === 'void' && status.reason === 'stopped_before_start' && bootId !== guest.identity.bootId;
  return mayHaveRun ? { ...status, reason: 'disk_rolled_back' } : status;
}
