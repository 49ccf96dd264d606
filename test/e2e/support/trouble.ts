/** Trouble made at the provider, and what its ledger says came of it. */
import { callsOf, isAccepted, type LedgerEntry } from '../../../src/story/record/provider-record.js';
import { untilPhase } from './actions.js';
import type { Stage } from './stage.js';

export interface Fault {
  readonly kind: string;
  readonly route?: string;
  readonly [field: string]: unknown;
}

/** Makes trouble, for one user's machine where there is one already. */
export async function makeTrouble(stage: Stage, { route, ...fault }: Fault, userId?: string): Promise<void> {
  const machine = userId === undefined ? undefined : await stage.database.machine(userId);
  const match = {
    ...(route === undefined ? {} : { route }),
    ...(machine === undefined ? {} : { machineId: machine.machineId }),
  };
  await stage.stack.emulator.call('POST', '/_emulator/faults', { ...fault, match });
}

interface AddedFault {
  readonly kind: string;
  readonly match: { readonly machineId?: string };
}

/** Kinds of trouble that have not struck (often enough): a test that leaves one has tested nothing. */
export async function unstruck(stage: Stage, userId?: string): Promise<string[]> {
  const machine = userId === undefined ? undefined : await stage.database.machine(userId);
  const { items } = await stage.stack.emulator.get<{ items: AddedFault[] }>('/_emulator/faults');
  return items.filter(({ match }) => match.machineId === machine?.machineId).map(({ kind }) => kind);
}

export async function sleepNow(stage: Stage, userId: string): Promise<void> {
  await stage.stack.client.sleepNow({ userId });
  await untilPhase(stage, userId, 'asleep');
}

/** Changes of this kind that the provider took since `seq`. */
export async function accepted(stage: Stage, of: { route: string; machineId: string; since: number }): Promise<number> {
  return callsOf(await stage.provider.ledger(of.since), of).filter(isAccepted).length;
}

export function ofMachine(entries: readonly LedgerEntry[], machineId: string, kind: string): LedgerEntry[] {
  return entries.filter((entry) => entry.kind === kind && entry.machineId === machineId);
}

/** Most machines of these that were alive at once, by the order of the provider's ledger. */
export async function mostAlive(stage: Stage, userId: string): Promise<number> {
  const rows = await stage.sql<{ id: string }>('select machine_id as id from machines where user_id = $1', [userId]);
  const ids = new Set(rows.map(({ id }) => id));
  const alive = new Set<string>();
  let most = 0;
  for (const entry of await stage.provider.ledger(0)) {
    const id = entry.machineId ?? '';
    if (!ids.has(id)) continue;
    if (entry.kind === 'machine.created') alive.add(id);
    const isEnding = entry.kind === 'machine.desired' && entry['desiredState'] === 'destroyed';
    if (isEnding || (entry.kind === 'machine.phase' && ['destroying', 'destroyed'].includes(String(entry['to'])))) {
      alive.delete(id);
    }
    most = Math.max(most, alive.size);
  }
  return most;
}
