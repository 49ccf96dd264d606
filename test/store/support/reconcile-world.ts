/** The reconciler's activities with a provider and lanes that answer as they are told, and note what was asked of them. */
import { createReconcileActivities } from '../../../src/activities/reconcile.js';
import type { ReconcileDeps } from '../../../src/activities/reconcile-deps.js';
import { InnkeeperError, type ErrorCode } from '../../../src/contracts/errors.js';
import type { LaneState } from '../../../src/contracts/lane-state.js';
import type { LaneCondition, Lanes } from '../../../src/contracts/lanes.js';
import type { ReconcileActivities } from '../../../src/contracts/reconcile.js';
import { silentLogger } from '../../../src/log.js';
import { spellingsOf } from '../../../src/machines/dedalus/machine-body.js';
import type { Machine, MachineProvider, RevisionOptions } from '../../../src/machines/provider.js';
import type { Store } from '../../../src/store/pool.js';
import { newKey, SIZE } from './lanes.js';

export const QUIET_MS = 60_000;
export const GRACE_MS = 3_600_000;
const POLLS = { pollMs: 1, createTimeoutMs: 1_000, wakeTimeoutMs: 1, sleepTimeoutMs: 1, answerTimeoutMs: 1 };

export class ReconcileWorld {
  /** The one page of the provider's list. */
  listed: Machine[] = [];
  /** As `find` answers; those that are not here are as listed, or else asleep. */
  readonly found = new Map<string, Machine | undefined>();
  readonly finds: string[] = [];
  readonly destroys: (RevisionOptions & { machineId: string })[] = [];
  failDestroy: ErrorCode | undefined;
  /** Runs, before the lane was told what `told` has next of it. */
  readonly terminated: { workflowId: string; runId: string }[] = [];
  readonly told: { workflowId: string; signal: string; args: readonly unknown[] }[] = [];
  failTell: ErrorCode | undefined;
  /** Lanes that have not ended, and what they say of themselves. */
  readonly conditions = new Map<string, LaneCondition>();
  readonly states = new Map<string, Partial<LaneState>>();

  activities(store: Store, more: Partial<ReconcileDeps['reconcile']> = {}): ReconcileActivities {
    return createReconcileActivities({
      store,
      machines: this.#provider(),
      lanes: this.#lanes(),
      polls: { ...POLLS, diskTimeoutMs: 1 },
      reconcile: { isAccountDedicated: true, graceMs: GRACE_MS, quietMs: QUIET_MS, idleMs: 300_000, ...more },
      newKey,
      log: silentLogger(),
    });
  }

  #provider(): MachineProvider {
    const provider: Partial<MachineProvider> = {
      list: () => Promise.resolve({ machines: this.listed, nextCursor: undefined }),
      spellingsOf,
      find: (machineId) => {
        this.finds.push(machineId);
        if (this.found.has(machineId)) return Promise.resolve(this.found.get(machineId));
        const listed = this.listed.find((one) => one.machineId === machineId);
        return Promise.resolve(listed ?? machineOf(machineId, { phase: 'sleeping', desiredState: 'sleeping' }));
      },
      destroy: (machineId, options) => {
        this.destroys.push({ machineId, ...options });
        if (this.failDestroy !== undefined) return Promise.reject(new InnkeeperError(this.failDestroy, 'scripted'));
        return Promise.resolve();
      },
    };
    return provider as MachineProvider;
  }

  #lanes(): Lanes {
    return {
      tell: (workflowId, { signal, signalArgs: args }) => {
        if (this.failTell !== undefined) return Promise.reject(new InnkeeperError(this.failTell, 'scripted'));
        this.told.push({ workflowId, signal: signal.name, args });
        return Promise.resolve();
      },
      conditionOf: (workflowId) => Promise.resolve(this.conditions.get(workflowId) ?? { kind: 'ended' }),
      terminate: ({ workflowId, runId }) => {
        if (this.failTell !== undefined) return Promise.reject(new InnkeeperError(this.failTell, 'scripted'));
        this.terminated.push({ workflowId, runId });
        this.conditions.delete(workflowId);
        return Promise.resolve();
      },
      ask: (workflowId) => Promise.resolve(this.states.get(workflowId) as LaneState | undefined),
    };
  }
}

export function machineOf(machineId: string, more: Partial<Machine> = {}): Machine {
  return {
    machineId,
    ...SIZE,
    phase: 'running',
    desiredState: 'running',
    revision: '1',
    reason: undefined,
    lastError: undefined,
    lastTransitionAt: undefined,
    autosleepSeconds: undefined,
    ...more,
  };
}
