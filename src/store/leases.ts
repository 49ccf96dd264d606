/**
 * Leases: a machine that is leased is awake for a reason, though no turn is open. Taking one, renewing it, ending it and putting the
 * machine to sleep all happen under the user's row lock, so that none of them overlooks the other. A lease that nobody renews dies
 * at its `expiresAt`; whoever meets it then ends it on record.
 */
import { randomUUID } from 'node:crypto';
import { InnkeeperError } from '../contracts/errors.js';
import { getMachine } from './machines.js';
import { withTransaction, type Store, type Tx } from './pool.js';
import { one, statement } from './sql.js';
import { noteHandedBack, noteTaken, type HandBack } from './terminal-notes.js';
import { destroyedUser, lockUser, unknownUser } from './users.js';

/** `terminal`: a person's keyboard, one at a time. `files`: a transfer, short, and any number. */
export const LEASE_KINDS = ['terminal', 'files'] as const;
export type LeaseKind = (typeof LEASE_KINDS)[number];

export interface LeaseRef {
  readonly userId: string;
  readonly leaseId: string;
}

export interface Lease extends LeaseRef {
  readonly generation: number;
  /** At the provider. */
  readonly machineId: string;
  readonly expiresAt: Date;
}

export interface TakeLease {
  readonly userId: string;
  readonly kind: LeaseKind;
  /** Who takes it, as others are told. */
  readonly holder: string;
  readonly leaseMs: number;
  /** A terminal's lease of the same holder, which ends as this one begins: they go on elsewhere. */
  readonly replaces?: string | undefined;
}

/** Of the user's live machine: `generation` is the newest there is. */
const UNENDED = 'user_id = $1 and generation = $2 and ended_at is null';

const insertLease = statement(
  'insert_lease',
  `insert into machine_leases (lease_id, user_id, generation, kind, holder, taken_at, expires_at)
   select $3, $1, $2, $4, $5, now.at, now.at + $6 * interval '1 millisecond' from (select clock_timestamp() as at) now
   returning expires_at`,
);
const selectTerminal = statement(
  'select_terminal_lease',
  `select lease_id, holder, expires_at from machine_leases where ${UNENDED} and kind = 'terminal'`,
);
const endDead = statement(
  'end_dead_leases',
  `update machine_leases set ended_at = greatest(taken_at, least(expires_at, clock_timestamp()))
   where user_id = $1 and ended_at is null and (expires_at <= clock_timestamp() or generation <> $2) returning kind`,
);
/** There are many of them, and nobody asks for one that is over. */
const forgetFiles = statement(
  'forget_file_leases',
  `delete from machine_leases where user_id = $1 and kind = 'files' and ended_at is not null`,
);

/**
 * Keeps the machine awake for a while, from here on.
 * @throws InnkeeperError MACHINE_ASLEEP (or not ready for another reason), TERMINAL_TAKEN, USER_UNKNOWN, USER_DESTROYED
 */
export function takeLease(store: Store, options: TakeLease): Promise<Lease> {
  const { userId, kind, holder, leaseMs, replaces } = options;
  return withTransaction(store, async (tx) => {
    const user = await lockUser(tx, userId);
    if (user === undefined) throw unknownUser();
    if (user.state !== 'active') throw destroyedUser(user.state);
    const machine = await getMachine(tx, { userId });
    const { phase = 'none', machineId = null, generation = 0 } = machine ?? {};
    if (phase !== 'ready' || machineId === null) {
      throw new InnkeeperError('MACHINE_ASLEEP', `The machine is not awake: its phase is ${phase}.`);
    }
    await endDeadLeases(tx, { userId, generation });
    if (kind === 'files') await tx.query(forgetFiles, [userId]);
    else if (!(await replaceTerminal(tx, { userId, generation, holder, replaces })))
      await noteTaken(tx, userId, holder);
    const leaseId = randomUUID();
    const values = [userId, generation, leaseId, kind, holder, leaseMs];
    const { expires_at: expiresAt } = one(await tx.query<{ expires_at: Date }>(insertLease, values));
    return { leaseId, userId, generation, machineId, expiresAt };
  });
}

/** Ends the lease that is to be replaced. False: there is none. @throws InnkeeperError TERMINAL_TAKEN */
async function replaceTerminal(
  tx: Tx,
  { userId, generation, holder, replaces }: Pick<TakeLease, 'userId' | 'holder' | 'replaces'> & { generation: number },
): Promise<boolean> {
  const { rows } = await tx.query<{ lease_id: string; holder: string; expires_at: Date }>(selectTerminal, [
    userId,
    generation,
  ]);
  const [taken] = rows;
  if (taken === undefined) return false;
  if (taken.lease_id !== replaces || taken.holder !== holder) {
    const until = taken.expires_at.toISOString();
    throw new InnkeeperError('TERMINAL_TAKEN', `The terminal is held by ${taken.holder}, until ${until} or longer.`, {
      details: { holder: taken.holder, until },
    });
  }
  await tx.query(endLive, [userId, taken.lease_id]);
  return true;
}

// A lease lives as long as its machine can be worked on; one that was late stays dead.
const renew = statement(
  'renew_lease',
  `update machine_leases l set expires_at = clock_timestamp() + $3 * interval '1 millisecond'
   where l.user_id = $1 and l.lease_id = $2 and l.ended_at is null and l.expires_at > clock_timestamp()
     and exists (select from machines m where m.user_id = l.user_id and m.generation = l.generation and m.phase = 'ready')
   returning l.expires_at`,
);

/** Until when it lives from here on; undefined: it is over, and so is what it was taken for. */
export function renewLease(
  store: Store,
  { userId, leaseId, leaseMs }: LeaseRef & { readonly leaseMs: number },
): Promise<Date | undefined> {
  return withTransaction(store, async (tx) => {
    await lockUser(tx, userId);
    return (await tx.query<{ expires_at: Date }>(renew, [userId, leaseId, leaseMs])).rows[0]?.expires_at;
  });
}

const endLive = statement(
  'end_lease',
  `update machine_leases set ended_at = greatest(taken_at, clock_timestamp())
   where user_id = $1 and lease_id = $2 and ended_at is null returning kind`,
);

/** Gives a lease up. May be repeated: false where it was over before. */
export function endLease(
  store: Store,
  { userId, leaseId, handBack }: LeaseRef & { readonly handBack?: HandBack },
): Promise<boolean> {
  return withTransaction(store, async (tx) => {
    await lockUser(tx, userId);
    const kind = (await tx.query<{ kind: LeaseKind }>(endLive, [userId, leaseId])).rows[0]?.kind;
    if (kind === 'terminal') {
      await noteHandedBack(tx, userId, handBack ?? { reason: 'handed_back', directory: null });
    }
    return kind !== undefined;
  });
}

/** Ends on record what died by itself, or with its machine. The user's row is locked by the transaction. */
export async function endDeadLeases(
  tx: Tx,
  { userId, generation }: { readonly userId: string; readonly generation: number },
): Promise<void> {
  const { rows } = await tx.query<{ kind: LeaseKind }>(endDead, [userId, generation]);
  if (rows.some(({ kind }) => kind === 'terminal')) {
    await noteHandedBack(tx, userId, { reason: 'expired', directory: null });
  }
}

const selectLatest = statement(
  'select_latest_lease',
  `select max(expires_at) filter (where expires_at > clock_timestamp()) as until,
     coalesce(bool_or(expires_at <= clock_timestamp()), false) as has_dead
   from machine_leases where ${UNENDED}`,
);

/** Until when the machine is leased; null: it is not. What died by itself is ended. The user's row is locked by the transaction. */
export async function leasedUntil(
  tx: Tx,
  machine: { readonly userId: string; readonly generation: number },
): Promise<Date | null> {
  const answer = await tx.query<{ until: Date | null; has_dead: boolean }>(selectLatest, [
    machine.userId,
    machine.generation,
  ]);
  const { until, has_dead: hasDead } = one(answer);
  if (hasDead) await endDeadLeases(tx, machine);
  return until;
}
