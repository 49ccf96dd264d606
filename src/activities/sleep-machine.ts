/** Putting a machine to sleep, unless a turn was admitted meanwhile or a lease is alive. */
import type { SleepResult } from '../contracts/activities.js';
import { InnkeeperError } from '../contracts/errors.js';
import type { Machine } from '../machines/provider.js';
import { beginSleep } from '../store/begin-sleep.js';
import { cancellationSignal, laneRun } from './context.js';
import { isAsleep, isGone, movePhase, toView, transitionOf, usableMachine, type UsableRow } from './ledger.js';
import type { MachineActivityDeps } from './machine-deps.js';
import { awaitPhase } from './machine-polls.js';
import { settleLost, withRevision } from './machine-requests.js';

export function createSleepMachine(deps: MachineActivityDeps): () => Promise<SleepResult> {
  const { store, machines, guests } = deps;

  /** False: the route is closed to us. */
  async function request(machineId: string, generation: number, machine: Machine): Promise<boolean> {
    const sleep = { kind: 'sleep', generation, machine } as const;
    if (machine.phase === 'sleeping') {
      await settleLost(deps, sleep);
      return true;
    }
    try {
      await withRevision(deps, sleep, (options) => machines.sleep(machineId, options));
      return true;
    } catch (error) {
      if (!InnkeeperError.is(error) || error.code !== 'PROVIDER_ROUTE_CLOSED') throw error;
      return false;
    }
  }

  /** When somebody else woke a machine that the ledger has asleep; undefined: nobody did. */
  async function wokenAt({ machineId, phase }: UsableRow): Promise<Date | undefined> {
    if (phase !== 'asleep') return undefined;
    const found = await machines.find(machineId, { signal: cancellationSignal() });
    if (isGone(found)) throw new InnkeeperError('MACHINE_LOST', 'The provider has lost the machine.');
    return isAsleep(found) ? undefined : transitionOf(found);
  }

  return async () => {
    const row = await usableMachine(store);
    const { generation, machineId } = row;
    const woken = await wokenAt(row);
    const begun = await beginSleep(store, {
      ...laneRun(),
      generation,
      ...(woken === undefined ? {} : { wokenAt: woken }),
    });
    if (begun.kind === 'busy') {
      return { kind: 'busy', untilMs: begun.until?.getTime() ?? null, machine: toView(begun.row) };
    }
    if (begun.kind === 'not_awake') return { kind: 'asleep', machine: toView(begun.row) };
    await guests.drop(laneRun().workflowId);
    const signal = cancellationSignal();
    const found = await machines.find(machineId, { signal });
    if (isGone(found)) throw new InnkeeperError('MACHINE_LOST', 'The provider has lost the machine.');
    const asleep = { generation, phase: 'asleep', from: ['sleeping'] } as const;
    if (!(await request(machineId, generation, found))) {
      // Its awake interval stays open until somebody sees when autosleep ended it.
      return { kind: 'left_to_autosleep', machine: await movePhase(store, asleep) };
    }
    const timeoutMs = deps.polls.sleepTimeoutMs;
    const sleptAt = transitionOf(await awaitPhase(deps, machineId, 'sleeping', { timeoutMs, signal }));
    const machine = await movePhase(store, { ...asleep, fields: { sleptAt }, awakeUntil: sleptAt });
    return { kind: 'asleep', machine };
  };
}
