/** Activities of the machine's lifecycle: each finishes what an earlier attempt began, by stored keys and revisions. */
import type { MachineActivities, SleepResult } from '../contracts/activities.js';
import { InnkeeperError } from '../contracts/errors.js';
import type { MachineView } from '../contracts/lane-state.js';
import type { Guest } from '../guest/guest.js';
import type { MachineProvider, MachineSize } from '../machines/provider.js';
import { beginProvision, beginSleep, setPhase, type MachineRow, type SetPhaseOptions } from '../store/machines.js';
import type { Store } from '../store/pool.js';
import { activity, cancellationSignal, laneRun, withHeartbeat, type ActivityLog } from './context.js';
import { bury, createDestroyMachine } from './destroy-machine.js';
import type { Guests } from './guests.js';
import { createAs, machineOfLane, toView, transitionOf, usableMachine } from './ledger.js';
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

export function createMachineActivities(deps: MachineActivityDeps): MachineActivities {
  const { store, machines, guest, guests, newKey } = deps;

  /** Stores a phase under this run's fence. */
  async function move(change: Omit<SetPhaseOptions, 'workflowId' | 'runId'>): Promise<MachineView> {
    const { row } = await setPhase(store, { ...laneRun(), ...change });
    return toView(row);
  }

  /** Asks the machine who it is, once it answers, and records it. */
  async function enter(row: UsableRow): Promise<MachineView> {
    const signal = cancellationSignal();
    const { bootId, home, isBootstrapped } = await untilAnswering(deps.polls, signal, () =>
      guest.probe(row.machineId, { idempotencyKey: newKey(), signal }),
    );
    const phase = isBootstrapped ? 'ready' : 'bootstrapping';
    return move({ generation: row.generation, phase, fields: { bootId, home } });
  }

  async function create(row: MachineRow): Promise<string> {
    if (row.machineId !== null) return row.machineId;
    try {
      const { machineId } = await createAs(machines, row);
      await move({ generation: row.generation, phase: 'provisioning', fields: { machineId } });
      return machineId;
    } catch (error) {
      // Refused means that nothing was made: the row ends here, so that the next try is a request of its own.
      if (InnkeeperError.is(error) && error.code === 'PROVIDER_REFUSED')
        await bury(deps, row, 'the provider refused it');
      throw error;
    }
  }

  async function provision(): Promise<MachineView> {
    await machines.settle(cancellationSignal());
    for (;;) {
      const begun = await beginProvision(store, {
        ...laneRun(),
        size: deps.size,
        autosleepSeconds: machines.takesAutosleep ? deps.autosleepSeconds : null,
        newKey,
        newNonce: deps.newNonce,
        replacedNote: (reason) =>
          `Your machine was replaced by a new, empty one (${reason}). Files of before are lost.`,
      });
      if (begun.kind === 'exists') return toView(begun.row);
      if (begun.kind === 'bury') {
        await bury(deps, begun.row, 'it failed for good');
        continue;
      }
      const { generation } = begun.row;
      const machineId = await create(begun.row);
      const timeoutMs = deps.polls.createTimeoutMs;
      const machine = await awaitPhase(deps, machineId, 'running', { timeoutMs, signal: cancellationSignal() });
      const from = transitionOf(machine);
      return move({ generation, phase: 'bootstrapping', fields: { existedFrom: from }, awakeFrom: from });
    }
  }

  async function bootstrap(): Promise<MachineView> {
    const row = await usableMachine(store);
    const entered = await enter(row);
    if (entered.phase === 'ready') return entered;
    const signal = cancellationSignal();
    const { missing } = await guest.bootstrap(row.machineId, { idempotencyKey: newKey(), signal });
    return move({ generation: row.generation, phase: 'ready', fields: { missing } });
  }

  async function wake(): Promise<MachineView> {
    const row = await usableMachine(store);
    const { generation, machineId } = row;
    const signal = cancellationSignal();
    const found = await machines.find(machineId, { signal });
    if (found === undefined || found.phase === 'failed') throw lost();
    const isAsleep = found.phase === 'sleeping' || found.phase === 'stopping';
    // Asleep by itself, while nobody looked: its awake interval ended then.
    await move({ generation, phase: 'waking', ...(isAsleep ? { awakeUntil: transitionOf(found) } : {}) });
    if (isAsleep) {
      await withRevision(deps, { kind: 'wake', generation, machine: found }, (options) =>
        machines.wake(machineId, options),
      );
    }
    const timeoutMs = deps.polls.wakeTimeoutMs;
    const from = transitionOf(await awaitPhase(deps, machineId, 'running', { timeoutMs, signal }));
    await move({ generation, phase: 'waking', fields: { wokenAt: from }, awakeFrom: from });
    return enter(row);
  }

  async function sleep(): Promise<SleepResult> {
    const row = await usableMachine(store);
    const { generation, machineId } = row;
    const begun = await beginSleep(store, { ...laneRun(), generation });
    if (begun.kind === 'busy') return { kind: 'busy', untilMs: null, machine: toView(begun.row) };
    if (begun.kind === 'not_awake') return { kind: 'asleep', machine: toView(begun.row) };
    await guests.drop(laneRun().workflowId);
    const signal = cancellationSignal();
    const found = await machines.find(machineId, { signal });
    if (found === undefined || found.phase === 'failed') throw lost();
    try {
      if (found.phase !== 'sleeping') {
        await withRevision(deps, { kind: 'sleep', generation, machine: found }, (options) =>
          machines.sleep(machineId, options),
        );
      }
    } catch (error) {
      if (!InnkeeperError.is(error) || error.code !== 'PROVIDER_ROUTE_CLOSED') throw error;
      // Its awake interval stays open until somebody sees when autosleep ended it.
      return { kind: 'left_to_autosleep', machine: await move({ generation, phase: 'asleep' }) };
    }
    const timeoutMs = deps.polls.sleepTimeoutMs;
    const at = transitionOf(await awaitPhase(deps, machineId, 'sleeping', { timeoutMs, signal }));
    const machine = await move({ generation, phase: 'asleep', fields: { sleptAt: at }, awakeUntil: at });
    return { kind: 'asleep', machine };
  }

  async function markLost(generation: number): Promise<MachineView> {
    const row = await machineOfLane(store);
    if (row === undefined || row.generation !== generation || row.machineId === null) return toView(row);
    const found = await machines.find(row.machineId, { signal: cancellationSignal() });
    // Reported, but not so: carry on with it.
    if (found !== undefined && found.phase !== 'failed' && found.phase !== 'destroyed') return toView(row);
    await guests.drop(laneRun().workflowId);
    const lostReason = found?.lastError ?? found?.reason ?? 'the provider no longer has it';
    return move({ generation, phase: 'failed', fields: { lostReason }, awakeUntil: transitionOf(found) });
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

type UsableRow = MachineRow & { readonly machineId: string };

function lost(): InnkeeperError {
  return new InnkeeperError('MACHINE_LOST', 'The provider has lost the machine.');
}
