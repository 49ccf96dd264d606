/** Waking a machine and entering it: asking who it is, and giving it what it lacks. */
import { InnkeeperError } from '../contracts/errors.js';
import type { MachineView } from '../contracts/lane-state.js';
import type { BootstrapReport } from '../guest/guest.js';
import { cancellationSignal } from './context.js';
import { isAsleep, isGone, movePhase, transitionOf, usableMachine, type UsableRow } from './ledger.js';
import type { MachineActivityDeps } from './machine-deps.js';
import { awaitPhase, findStopped, untilAnswering, untilDiskIsThere } from './machine-polls.js';
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
  async function enter({ generation, machineId, home: knownHome }: UsableRow): Promise<MachineView> {
    const signal = cancellationSignal();
    // Whatever was entered before has something of ours in its home directory.
    const expectsHome = knownHome !== null;
    const ask = (): Promise<BootstrapReport> =>
      untilAnswering(deps.polls, signal, () =>
        guest.bootstrap(machineId, { idempotencyKey: newKey(), signal, expectsHome }),
      );
    const { bootId, home, missing, isHomeEmpty } = await untilDiskIsThere(deps.polls, signal, ask);
    const from = ['bootstrapping', 'waking', 'ready'] as const; // `ready` where an earlier attempt got that far.
    if (isHomeEmpty === true) {
      await movePhase(store, { generation, phase: 'failed', from, fields: { lostReason: 'its disk was lost' } });
      throw new InnkeeperError('MACHINE_LOST', 'The machine came back with an empty disk.');
    }
    return movePhase(store, { generation, phase: 'ready', from, fields: { bootId, home, missing } });
  }

  async function bootstrap(): Promise<MachineView> {
    return enter(await usableMachine(store));
  }

  async function wake(): Promise<MachineView> {
    const row = await usableMachine(store);
    const { generation, machineId } = row;
    const signal = cancellationSignal();
    const found = await findStopped(deps, machineId, signal);
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
    return enter(row);
  }

  return { bootstrap, wake };
}

function isSleepRecorded({ sleptAt, wokenAt }: UsableRow): boolean {
  return sleptAt !== null && (wokenAt === null || sleptAt > wokenAt);
}
