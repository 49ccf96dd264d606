/** Between the ledger in Postgres and the provider: which row is the lane's, and what both say of one machine. */
import { InnkeeperError } from '../contracts/errors.js';
import type { MachineView } from '../contracts/lane-state.js';
import type { Machine, MachineProvider } from '../machines/provider.js';
import { getMachine, setPhase, type MachineRow, type SetPhaseOptions } from '../store/machines.js';
import type { Store } from '../store/pool.js';
import { findUserByWorkflowId, type UserView } from '../store/users.js';
import { cancellationSignal, laneRun } from './context.js';

/** @throws InnkeeperError USER_UNKNOWN */
export async function userOfLane(store: Store): Promise<UserView> {
  const user = await findUserByWorkflowId(store, laneRun().workflowId);
  if (user === undefined) throw new InnkeeperError('USER_UNKNOWN', 'This lane belongs to no user.');
  return user;
}

/** The live row of the lane's user; undefined where there is none. */
export async function machineOfLane(store: Store): Promise<MachineRow | undefined> {
  return getMachine(store, await userOfLane(store));
}

export type UsableRow = MachineRow & { readonly machineId: string };

/** The row of a machine that exists at the provider. @throws InnkeeperError MACHINE_LOST */
export async function usableMachine(store: Store): Promise<UsableRow> {
  const row = await machineOfLane(store);
  if (row === undefined || row.machineId === null || row.phase === 'failed') {
    throw new InnkeeperError('MACHINE_LOST', 'The ledger holds no machine that could be used.');
  }
  return { ...row, machineId: row.machineId };
}

/** The provider has it no more, is deleting it, or has given it up. */
export function isGone(
  machine: Machine | undefined,
): machine is undefined | (Machine & { readonly phase: 'failed' | 'destroying' | 'destroyed' }) {
  return machine === undefined || ['failed', 'destroying', 'destroyed'].includes(machine.phase);
}

/** It sleeps, or is falling asleep. */
export function isAsleep({ phase }: Machine): boolean {
  return phase === 'sleeping' || phase === 'stopping';
}

/** Stores a phase under this run's fence. @throws MACHINE_INVALID_STATE where the row is in none of `from`: read it again */
export async function movePhase(
  store: Store,
  change: Omit<SetPhaseOptions, 'workflowId' | 'runId'>,
): Promise<MachineView> {
  const { isApplied, row } = await setPhase(store, { ...laneRun(), ...change });
  if (!isApplied) {
    throw new InnkeeperError('MACHINE_INVALID_STATE', `The ledger has the machine as ${row.phase} by now.`);
  }
  return toView(row);
}

export function toView(row: MachineRow | undefined): MachineView {
  if (row === undefined) return { phase: 'none', generation: 0, machineId: undefined };
  return { phase: row.phase, generation: row.generation, machineId: row.machineId ?? undefined };
}

/** Sends the row's creation: always the same body under the row's key. */
export function createAs(machines: MachineProvider, row: MachineRow): Promise<Machine> {
  const { vcpu, memoryMib, storageGib, autosleepSeconds, createKey } = row;
  return machines.create(
    { vcpu, memoryMib, storageGib, autosleepSeconds: autosleepSeconds ?? undefined },
    { idempotencyKey: createKey, signal: cancellationSignal() },
  );
}

/** When the machine came into its phase, by the provider's clock; ours where the provider does not say. */
export function transitionOf(machine: Machine | undefined): Date {
  return machine?.lastTransitionAt === undefined ? new Date() : new Date(machine.lastTransitionAt);
}
