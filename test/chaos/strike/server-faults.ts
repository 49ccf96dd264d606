/** Faults that strike everybody: servers killed and started again, a worker frozen, connections broken. */
import { setTimeout as delay } from 'node:timers/promises';
import type { PlannedFault } from '../plan/plan.js';
import type { RunContext } from '../run-context.js';
import { surely } from '../surely.js';

const POLL_MS = 50;

/** Carries out the plan's server faults, one at a time, each once enough turns have ended. */
export async function strikeServers(context: RunContext, isOver: () => boolean): Promise<void> {
  for (const fault of context.plan.serverFaults) {
    while (context.progressed.turnsEnded < fault.afterTurns && !isOver()) await delay(POLL_MS);
    if (isOver()) {
      context.journal.miss(fault, 'the load was over');
      continue;
    }
    const atMs = Date.now();
    const isEffective = await carryOut(context, fault);
    const strike = { fault, userId: undefined, turnId: undefined, atMs, untilMs: Date.now() };
    context.journal.struck({ ...strike, isEffective });
  }
}

/** @returns undefined where the records tell afterwards whether it did harm */
async function carryOut(
  { rig, fleet, followers }: RunContext,
  { kind, aim }: PlannedFault,
): Promise<boolean | undefined> {
  switch (kind) {
    case 'temporal-killed':
      await rig.restartTemporal();
      return undefined;
    case 'postgres-killed':
      await rig.restartPostgres();
      return undefined;
    case 'emulator-killed':
      await rig.restartEmulator();
      return undefined;
    case 'gateway-killed':
      await rig.gateways.restartNext();
      return undefined;
    case 'followers-cut':
      return followers.filter((follower) => follower.cut()).length > 0 ? undefined : false;
    case 'worker-frozen': {
      // Both may be dead at this instant.
      const worker = await surely(async () => fleet.anyWorker());
      worker.signal('SIGSTOP');
      await delay(aim.delayMs ?? 0);
      worker.signal('SIGCONT');
      return undefined;
    }
    case 'postgres-reset':
      return rig.workerProxy.resetAll() + rig.clientProxy.resetAll() > 0 ? undefined : false;
    case 'postgres-exhausted': {
      const refused = await Promise.all([
        rig.workerProxy.exhaust(aim.delayMs ?? 0),
        rig.clientProxy.exhaust(aim.delayMs ?? 0),
      ]);
      return refused.some((count) => count > 0);
    }
    default:
      throw new Error(`${kind} does not strike everybody`);
  }
}
