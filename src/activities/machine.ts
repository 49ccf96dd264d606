/** Activities of the machine's lifecycle: each finishes what an earlier attempt began, by stored keys and revisions. */
import type { MachineActivities, SleepResult } from '../contracts/activities.js';
import { InnkeeperError } from '../contracts/errors.js';
import type { MachineView } from '../contracts/lane-state.js';
import type { Guest } from '../guest/guest.js';
import type { MachineProvider, MachineSize } from '../machines/provider.js';
import {
  beginProvision,
  beginSleep,
  closeAwake,
  getMachineOfLane,
  openAwake,
  recordCreated,
  setPhase,
  type MachineRow,
} from '../store/machines.js';
import type { Store } from '../store/pool.js';
import { activity, cancellationSignal, laneRun, withHeartbeat, type ActivityLog } from './context.js';
import { bury, createDestroyMachine } from './destroy-machine.js';
import type { Guests } from './guests.js';
import { awaitPhase, untilAnswering, type PollSettings } from './machine-polls.js';
import { withRevision } from './machine-requests.js';

export interface MachineActivityDeps {
  readonly store: Store;
  readonly machines: MachineProvider;
  readonly guest: Guest;
  readonly guests: Guests;
  readonly size: MachineSize;
  /** The provider's own sleep is only for the day when no worker runs: later than anything of ours. */
  readonly autosleepSeconds: number;
  readonly polls: PollSettings;
  readonly newKey: () => string;
  readonly newNonce: () => string;
  readonly log: ActivityLog;
}

const view = (row: MachineRow | undefined): MachineView =>
  row === undefined
    ? { phase: 'none', generation: 0, machineId: undefined }
    : { phase: row.phase, generation: row.generation, machineId: row.machineId };

export function createMachineActivities(deps: MachineActivityDeps): MachineActivities {
  const { store, machines, guest, guests, newKey } = deps;

  async function theMachine(): Promise<MachineRow & { machineId: string }> {
    const row = await getMachineOfLane(store, laneRun());
    if (row === undefined || row.machineId === undefined || row.phase === 'failed') {
      throw new InnkeeperError('MACHINE_LOST', 'The ledger holds no machine that could be used.');
    }
    return { ...row, machineId: row.machineId };
  }

  /** Asks the machine who it is, once it answers, and records it. */
  async function enter(row: MachineRow & { machineId: string }): Promise<MachineView> {
    const signal = cancellationSignal();
    const probe = await untilAnswering(deps.polls, signal, () =>
      guest.probe(row.machineId, { idempotencyKey: newKey(), signal }),
    );
    const { bootId, home } = probe;
    const phase = probe.isBootstrapped ? 'ready' : 'bootstrapping';
    return view(
      await setPhase(store, {
        ...laneRun(),
        generation: row.generation,
        phase,
        fields: { bootId, home, wokenAt: true },
      }),
    );
  }

  async function create(row: MachineRow): Promise<MachineRow & { machineId: string }> {
    if (row.machineId !== undefined) return { ...row, machineId: row.machineId };
    const { vcpu, memoryMib, storageGib } = row;
    try {
      const created = await machines.create(
        { vcpu, memoryMib, storageGib, autosleepSeconds: deps.autosleepSeconds },
        { idempotencyKey: row.createKey, signal: cancellationSignal() },
      );
      const { machineId } = created;
      return { ...(await recordCreated(store, { ...laneRun(), generation: row.generation, machineId })), machineId };
    } catch (error) {
      // Refused means that nothing was made: the row ends here, so that the next try is a request of its own.
      if (InnkeeperError.is(error) && error.code === 'PROVIDER_REFUSED')
        await bury(deps, row, 'refused by the provider');
      throw error;
    }
  }

  async function provision(): Promise<MachineView> {
    for (;;) {
      const begun = await beginProvision(store, { ...laneRun(), size: deps.size, newKey, newNonce: deps.newNonce });
      if (begun.kind === 'bury') {
        await bury(deps, begun.row, 'it failed for good');
        continue;
      }
      if (begun.row.phase !== 'provisioning') return view(begun.row);
      const row = await create(begun.row);
      const machine = await awaitPhase(deps, row.machineId, 'running', {
        timeoutMs: deps.polls.createTimeoutMs,
        signal: cancellationSignal(),
      });
      const existedFrom = machine.lastTransitionAt ?? new Date().toISOString();
      await openAwake(store, { ...laneRun(), generation: row.generation, at: existedFrom });
      return view(await setPhase(store, { ...laneRun(), generation: row.generation, phase: 'bootstrapping' }));
    }
  }

  async function bootstrap(): Promise<MachineView> {
    const row = await theMachine();
    const entered = await enter(row);
    if (entered.phase === 'ready') return entered;
    const signal = cancellationSignal();
    const { missing } = await guest.bootstrap(row.machineId, { idempotencyKey: newKey(), signal });
    return view(
      await setPhase(store, { ...laneRun(), generation: row.generation, phase: 'ready', fields: { missing } }),
    );
  }

  async function wake(): Promise<MachineView> {
    const row = await theMachine();
    const { generation, machineId } = row;
    await setPhase(store, { ...laneRun(), generation, phase: 'waking' });
    const found = await machines.find(machineId, { signal: cancellationSignal() });
    if (found === undefined || found.phase === 'failed') throw lost();
    if (found.phase === 'sleeping' || found.phase === 'stopping') {
      // An interval that autosleep ended while nobody looked.
      if (found.lastTransitionAt !== undefined) {
        await closeAwake(store, { ...laneRun(), generation, at: found.lastTransitionAt });
      }
      await withRevision(deps, { kind: 'wake', generation, machine: found }, (options) =>
        machines.wake(machineId, options),
      );
    }
    const machine = await awaitPhase(deps, machineId, 'running', {
      timeoutMs: deps.polls.wakeTimeoutMs,
      signal: cancellationSignal(),
    });
    await openAwake(store, { ...laneRun(), generation, at: machine.lastTransitionAt ?? new Date().toISOString() });
    return enter(row);
  }

  async function sleep(): Promise<SleepResult> {
    const row = await theMachine();
    const { generation, machineId } = row;
    if (row.phase !== 'sleeping') {
      const begun = await beginSleep(store, { ...laneRun(), generation });
      if (begun.kind === 'busy') return { kind: 'busy', untilMs: null, machine: view(row) };
    }
    await guests.drop(laneRun().workflowId);
    const found = await machines.find(machineId, { signal: cancellationSignal() });
    if (found === undefined || found.phase === 'failed') throw lost();
    if (found.phase !== 'sleeping') {
      try {
        await withRevision(deps, { kind: 'sleep', generation, machine: found }, (options) =>
          machines.sleep(machineId, options),
        );
      } catch (error) {
        if (!InnkeeperError.is(error) || error.code !== 'PROVIDER_ROUTE_CLOSED') throw error;
        // Its awake interval stays open until somebody sees when autosleep ended it.
        const left = await setPhase(store, { ...laneRun(), generation, phase: 'asleep' });
        return { kind: 'left_to_autosleep', machine: view(left) };
      }
    }
    const asleep = await awaitPhase(deps, machineId, 'sleeping', {
      timeoutMs: deps.polls.sleepTimeoutMs,
      signal: cancellationSignal(),
    });
    await closeAwake(store, { ...laneRun(), generation, at: asleep.lastTransitionAt ?? new Date().toISOString() });
    return {
      kind: 'asleep',
      machine: view(await setPhase(store, { ...laneRun(), generation, phase: 'asleep', fields: { sleptAt: true } })),
    };
  }

  async function markLost(generation: number): Promise<MachineView> {
    const row = await getMachineOfLane(store, laneRun());
    if (row === undefined || row.generation !== generation || row.machineId === undefined) return view(row);
    const found = await machines.find(row.machineId, { signal: cancellationSignal() });
    // Reported, but not so: carry on with it.
    if (found !== undefined && found.phase !== 'failed' && found.phase !== 'destroyed') return view(row);
    await guests.drop(laneRun().workflowId);
    await closeAwake(store, { ...laneRun(), generation, at: found?.lastTransitionAt ?? new Date().toISOString() });
    return view(await setPhase(store, { ...laneRun(), generation, phase: 'failed' }));
  }

  const run = <T>(phase: string, body: () => Promise<T>): Promise<T> =>
    activity(deps.log, () => withHeartbeat({ phase, step: 0 }, body));

  return {
    provisionMachine: () => run('provision', provision),
    bootstrapMachine: () => run('bootstrap', bootstrap),
    wakeMachine: () => run('wake', wake),
    sleepMachine: () => run('sleep', sleep),
    markMachineLost: ({ generation }) => run('lost', () => markLost(generation)),
    destroyMachine: () => run('destroy', createDestroyMachine(deps)),
  };
}

function lost(): InnkeeperError {
  return new InnkeeperError('MACHINE_LOST', 'The provider has lost the machine.');
}
