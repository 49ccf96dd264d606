/** The beginning of a machine's sleep: written to the ledger where nothing keeps it awake, before the provider is asked. */
import { requireLane, type LaneRun } from './lane.js';
import { leasedUntil } from './leases.js';
import { getMachine, notePhase, writePhase, type MachineRow, type MachineRowPhase } from './machines.js';
import { withTransaction, type Store } from './pool.js';
import { one, statement } from './sql.js';

export type BegunSleep =
  /** Stored: ask the provider for sleep. */
  | { readonly kind: 'sleeping'; readonly row: MachineRow }
  /** Stay awake: a turn is open (null), or the machine is leased until then. */
  | { readonly kind: 'busy'; readonly until: Date | null; readonly row: MachineRow }
  /** There is nothing awake: no machine, or one that sleeps, failed or is being destroyed. */
  | { readonly kind: 'not_awake'; readonly row: MachineRow | undefined };

const hasOpenTurn = statement(
  'has_open_turn',
  `select exists (select from turns where user_id = $1 and state in ('queued', 'running')) as is_busy`,
);
/** A machine in one of these costs money, so it may be put to sleep. */
const MAY_SLEEP: readonly MachineRowPhase[] = ['ready', 'bootstrapping', 'waking'];

/**
 * Writes `sleeping` unless a turn is open or a lease alive, under the lock that admission and leases take. A sleep that was begun
 * before goes on even with a turn waiting, so that the provider's revision moves and a late call of a dead worker is refused.
 * `wokenAt`: somebody else woke it then, by the provider's clock, so it is put to sleep though the ledger has it asleep.
 * @throws InnkeeperError STALE_LANE
 */
export function beginSleep(
  store: Store,
  options: LaneRun & { readonly generation: number; readonly wokenAt?: Date },
): Promise<BegunSleep> {
  const { wokenAt, ...machine } = options;
  return withTransaction(store, async (tx) => {
    const user = await requireLane(tx, machine);
    const row = await getMachine(tx, user);
    if (row?.generation !== machine.generation) return { kind: 'not_awake', row };
    if (row.phase === 'sleeping') return { kind: 'sleeping', row };
    const wasWoken = row.phase === 'asleep' && wokenAt !== undefined;
    if (!wasWoken && !MAY_SLEEP.includes(row.phase)) return { kind: 'not_awake', row };
    const { is_busy: isBusy } = one(await tx.query<{ is_busy: boolean }>(hasOpenTurn, [user.userId]));
    if (isBusy) return { kind: 'busy', until: null, row };
    const until = await leasedUntil(tx, row);
    if (until !== null) return { kind: 'busy', until, row };
    const awakeFrom = wasWoken ? { awakeFrom: wokenAt } : {};
    const slept = await writePhase(tx, user, { ...machine, phase: 'sleeping', ...awakeFrom });
    if (slept === undefined) throw new Error('a live machine could not be changed under its own lock');
    notePhase(tx, slept);
    return { kind: 'sleeping', row: slept };
  });
}
