/**
 * The machine ledger: one row a generation, written before the provider is called and kept as a tombstone. Every change is made
 * by the lane's owner. Keys of requests are machine-requests.ts, awake intervals awake.ts, sleep begin-sleep.ts, the end of a user
 * user-end.ts.
 */
import { REPLACEMENT } from '../contracts/events.js';
import type { LanePhase } from '../contracts/lane-state.js';
import { closeAwake, openAwake } from './awake.js';
import { appendEvent } from './events.js';
import { requireLane, type LaneRun, type LaneUser } from './lane.js';
import { withTransaction, type Store, type Tx } from './pool.js';
import { one, statement, toStorable, type Queryable } from './sql.js';
import { addNote } from './transaction.js';
import { destroyedUser } from './users.js';

/** Phases that a ledger row can be in. */
export type MachineRowPhase = Exclude<LanePhase, 'none'>;

export interface MachineRowSize {
  readonly vcpu: number;
  readonly memoryMib: number;
  readonly storageGib: number;
}

/** One generation of a user's machine. */
export interface MachineRow extends MachineRowSize {
  readonly userId: string;
  readonly generation: number;
  readonly machineId: string | null;
  readonly phase: MachineRowPhase;
  /** Idempotency key of its creation. */
  readonly createKey: string;
  /** As sent with its creation; null: not sent. */
  readonly autosleepSeconds: number | null;
  readonly ownerNonce: string;
  readonly bootId: string | null;
  readonly home: string | null;
  readonly missing: readonly string[];
  readonly sleptAt: Date | null;
  readonly wokenAt: Date | null;
  /** Why its predecessor was given up; null for a user's first. */
  readonly replacedReason: string | null;
  readonly lostReason: string | null;
  readonly existedFrom: Date | null;
  readonly existedUntil: Date | null;
}

const COLUMNS = `user_id as "userId", generation, machine_id as "machineId", phase, create_key as "createKey", vcpu,
  memory_mib as "memoryMib", storage_gib as "storageGib", autosleep_seconds as "autosleepSeconds",
  owner_nonce as "ownerNonce", boot_id as "bootId", home, missing, slept_at as "sleptAt", woken_at as "wokenAt",
  replaced_reason as "replacedReason", lost_reason as "lostReason", existed_from as "existedFrom",
  existed_until as "existedUntil"`;

const selectLive = statement(
  'select_live_machine',
  `select ${COLUMNS} from machines where user_id = $1 and phase <> 'destroyed'`,
);
const selectGeneration = statement(
  'select_machine_generation',
  `select ${COLUMNS} from machines where user_id = $1 and generation = $2`,
);

/** The user's live machine; undefined where there is none. */
export async function getMachine(
  store: Queryable,
  { userId }: { readonly userId: string },
): Promise<MachineRow | undefined> {
  return (await store.query<MachineRow>(selectLive, [userId])).rows[0];
}

export interface BeginProvisionOptions extends LaneRun {
  readonly size: MachineRowSize;
  /** Sent with the creation; null: not sent. Default null. */
  readonly autosleepSeconds?: number | null;
  readonly newKey: () => string;
  readonly newNonce: () => string;
  /** What the agent is told where this generation replaces one that was lost. */
  readonly replacedNote?: (reason: string) => string;
}

export type BegunProvision =
  /** The row is stored: create with its key, size and autosleep. `isNew` false: a creation that was begun before. */
  | { readonly kind: 'provisioning'; readonly row: MachineRow; readonly isNew: boolean }
  /** A failed machine is in the way: delete it at the provider, then buryMachine, then begin again. */
  | { readonly kind: 'bury'; readonly row: MachineRow }
  /** There is a machine beyond its creation. */
  | { readonly kind: 'exists'; readonly row: MachineRow };

const insertMachine = statement(
  'insert_machine',
  `with grown as (
     update users set generation = generation + 1 where user_id = $1 returning generation
   )
   insert into machines (user_id, generation, phase, create_key, vcpu, memory_mib, storage_gib, autosleep_seconds, owner_nonce,
     replaced_reason)
   select $1, grown.generation, 'provisioning', $2, $3, $4, $5, $6, $7,
          (select p.lost_reason from machines p where p.user_id = $1 and p.generation = grown.generation - 1)
   from grown
   returning ${COLUMNS}`,
);

/**
 * Stores the next generation's row, or answers the one that is there.
 * @throws InnkeeperError STALE_LANE; USER_DESTROYED where a new machine would be needed for a user that is being destroyed
 */
export function beginProvision(store: Store, options: BeginProvisionOptions): Promise<BegunProvision> {
  return withTransaction(store, async (tx) => {
    const user = await requireLane(tx, options);
    const live = await getMachine(tx, user);
    if (live?.phase === 'provisioning') return { kind: 'provisioning', row: live, isNew: false };
    if (live?.phase === 'failed') return { kind: 'bury', row: live };
    if (live !== undefined) return { kind: 'exists', row: live };
    if (user.state !== 'active') throw destroyedUser(user.state);

    const { vcpu, memoryMib, storageGib } = options.size;
    const values = [user.userId, options.newKey(), vcpu, memoryMib, storageGib];
    const rest = [options.autosleepSeconds ?? null, options.newNonce()];
    const row = one(await tx.query<MachineRow>(insertMachine, [...values, ...rest]));
    notePhase(tx, row);
    const { userId, generation, replacedReason: reason } = row;
    if (reason !== null) {
      appendEvent(tx, {
        userId,
        turnKey: null,
        body: { type: 'machine.replaced', generation, reason, ...REPLACEMENT },
      });
      if (options.replacedNote !== undefined) {
        addNote(tx, { userId, turnKey: null, text: options.replacedNote(reason) });
      }
    }
    return { kind: 'provisioning', row, isNew: true };
  });
}

/** What is known anew of a machine; what is left out stays. Instants by the provider's clock. */
export interface MachineFields {
  readonly machineId?: string;
  readonly bootId?: string | null;
  readonly home?: string;
  readonly missing?: readonly string[];
  readonly sleptAt?: Date;
  readonly wokenAt?: Date;
  readonly existedFrom?: Date;
  readonly lostReason?: string;
}

export interface SetPhaseOptions extends LaneRun {
  readonly generation: number;
  readonly phase: Exclude<MachineRowPhase, 'destroyed'>;
  /** Phases that it may come from; default: any but destroyed. */
  readonly from?: readonly MachineRowPhase[];
  readonly fields?: MachineFields;
  /** Metering: it has been awake from, or until, this instant by the provider's clock. */
  readonly awakeFrom?: Date;
  readonly awakeUntil?: Date;
}

const updatePhase = statement(
  'update_machine_phase',
  `update machines set phase = $3,
     machine_id = coalesce($5, machine_id),
     boot_id = case when $6 then $7 else boot_id end,
     home = coalesce($8, home),
     missing = coalesce($9, missing),
     slept_at = coalesce($10, slept_at),
     woken_at = coalesce($11, woken_at),
     existed_from = coalesce(existed_from, $12),
     lost_reason = coalesce($13, lost_reason)
   where user_id = $1 and generation = $2 and phase <> 'destroyed' and ($4::text[] is null or phase = any($4))
   returning ${COLUMNS}`,
);

/**
 * Moves a machine to a phase and stores what is known of it. `isApplied` false, and nothing written, where it is in none of
 * `from`, or is buried; `row` then says how it stands.
 * @throws InnkeeperError STALE_LANE
 */
export function setPhase(store: Store, options: SetPhaseOptions): Promise<{ isApplied: boolean; row: MachineRow }> {
  return withTransaction(store, (tx) => setPhaseIn(tx, options));
}

async function setPhaseIn(tx: Tx, options: SetPhaseOptions): Promise<{ isApplied: boolean; row: MachineRow }> {
  const user = await requireLane(tx, options);
  // Sent together; answered in this order.
  const [found, row] = await Promise.all([
    tx.query<MachineRow>(selectGeneration, [user.userId, options.generation]),
    writePhase(tx, user, options),
  ]);
  const before = one(found);
  if (row === undefined) return { isApplied: false, row: before };
  if (row.phase !== before.phase) notePhase(tx, row);
  return { isApplied: true, row };
}

/** As setPhase, by whoever has looked at the lane already; logs nothing. */
export async function writePhase(tx: Tx, user: LaneUser, options: SetPhaseOptions): Promise<MachineRow | undefined> {
  const { generation, phase, from, fields = {}, awakeFrom, awakeUntil } = options;
  const { rows } = await tx.query<MachineRow>(updatePhase, [
    user.userId,
    generation,
    phase,
    from ?? null,
    fields.machineId ?? null,
    fields.bootId !== undefined,
    fields.bootId ?? null,
    fields.home === undefined ? null : toStorable(fields.home),
    fields.missing?.map(toStorable) ?? null,
    fields.sleptAt ?? null,
    fields.wokenAt ?? null,
    fields.existedFrom ?? null,
    fields.lostReason === undefined ? null : toStorable(fields.lostReason),
  ]);
  const row = rows[0];
  if (row === undefined) return undefined;
  const machine = { userId: user.userId, generation };
  if (awakeUntil !== undefined) await closeAwake(tx, { ...machine, at: awakeUntil });
  if (awakeFrom !== undefined) await openAwake(tx, { ...machine, at: awakeFrom });
  return row;
}

const bury = statement(
  'bury_machine',
  `update machines set phase = 'destroyed',
     existed_until = case when existed_from is null then null else greatest(existed_from, $3) end,
     lost_reason = coalesce($4, lost_reason)
   where user_id = $1 and generation = $2 and phase <> 'destroyed'
   returning ${COLUMNS}`,
);

/**
 * Makes a machine's row a tombstone once the provider has none of it. May be repeated: false where it was buried before.
 * `lostReason`, or the one stored before, becomes the next generation's `replacedReason`.
 * @throws InnkeeperError STALE_LANE
 */
export function buryMachine(
  store: Store,
  options: LaneRun & { readonly generation: number; readonly existedUntil: Date; readonly lostReason?: string },
): Promise<boolean> {
  return withTransaction(store, async (tx) => {
    const { userId } = await requireLane(tx, options);
    const { generation, existedUntil, lostReason } = options;
    const reason = lostReason === undefined ? null : toStorable(lostReason);
    const row = (await tx.query<MachineRow>(bury, [userId, generation, existedUntil, reason])).rows[0];
    if (row === undefined) return false;
    await closeAwake(tx, { userId, generation, at: existedUntil });
    notePhase(tx, row);
    return true;
  });
}

export function notePhase(tx: Tx, { userId, phase, generation }: MachineRow): void {
  appendEvent(tx, { userId, turnKey: null, body: { type: 'machine.phase', phase, generation } });
}
