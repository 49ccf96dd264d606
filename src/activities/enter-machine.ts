/** Waking a machine and entering it: asking who it is, and giving it what it lacks. */
import { InnkeeperError } from '../contracts/errors.js';
import type { MachineView } from '../contracts/lane-state.js';
import type { Machine } from '../machines/provider.js';
import { cancellationSignal } from './context.js';
import { isGone, movePhase, transitionOf, usableMachine, type UsableRow } from './ledger.js';
import type { MachineActivityDeps } from './machine-deps.js';
import { awaitPhase, untilAnswering } from './machine-polls.js';
import { settleLost, withRevision } from './machine-requests.js';

export function createEnterMachine(deps: MachineActivityDeps): {
  bootstrap(): Promise<MachineView>;
  wake(): Promise<MachineView>;
} {
  const { store, machines, guest, newKey } = deps;

  /**
   * Gives the machine what this boot lacks, once it answers. The recipe says by itself who the machine is, and does nothing where
   * its marker is, so nobody has to ask before.
   */
  async function enter(generation: number, machineId: string): Promise<MachineView> {
    const signal = cancellationSignal();
    const fields = await untilAnswering(deps.polls, signal, () =>
      guest.bootstrap(machineId, { idempotencyKey: newKey(), signal }),
    );
    // `ready` where an earlier attempt got that far.
    return movePhase(store, { generation, phase: 'ready', from: ['bootstrapping', 'waking', 'ready'], fields });
  }

  async function bootstrap(): Promise<MachineView> {
    const { generation, machineId } = await usableMachine(store);
    return enter(generation, machineId);
  }

  async function wake(): Promise<MachineView> {
    const row = await usableMachine(store);
    const { generation, machineId } = row;
    const signal = cancellationSignal();
    const found = await machines.find(machineId, { signal });
    if (isGone(found)) throw new InnkeeperError('MACHINE_LOST', 'The provider has lost the machine.');
    const request = { kind: 'wake', generation, machine: found } as const;
    const sleptAt = isAsleep(found) ? transitionOf(found) : undefined;
    await movePhase(store, {
      generation,
      phase: 'waking',
      from: ['asleep', 'waking', 'ready', 'bootstrapping'],
      // Where it fell asleep by itself nobody has recorded that yet: its awake interval ended then.
      ...(sleptAt === undefined ? {} : { awakeUntil: sleptAt }),
      ...(sleptAt === undefined || isSleepRecorded(row) ? {} : { fields: { sleptAt } }),
    });
    // A sleep that was asked for and has not begun is taken back too.
    if (sleptAt !== undefined || found.desiredState === 'sleeping') {
      await withRevision(deps, request, (options) => machines.wake(machineId, options));
    } else {
      await settleLost(deps, request);
    }
    const timeoutMs = deps.polls.wakeTimeoutMs;
    const wokenAt = transitionOf(await awaitPhase(deps, machineId, 'running', { timeoutMs, signal }));
    const woken = { generation, phase: 'waking', fields: { wokenAt }, awakeFrom: wokenAt } as const;
    await movePhase(store, { ...woken, from: ['waking'] });
    return enter(generation, machineId);
  }

  return { bootstrap, wake };
}

function isAsleep({ phase }: Machine): boolean {
  return phase === 'sleeping' || phase === 'stopping';
}

function isSleepRecorded({ sleptAt, wokenAt }: UsableRow): boolean {
  return sleptAt !== null && (wokenAt === null || sleptAt > wokenAt);
}
