/**
 * What does not fit together (pure). A suspicion only: whoever acts on one looks again first, at the provider and in the ledger,
 * and asks here once more.
 */
import type { Decision, FindingKind } from '../contracts/reconcile.js';
import type { MachinePhase } from '../machines/provider.js';
import type { LedgerView, UserRow } from '../store/reconcile.js';

/** What the provider said of a machine that it has. */
export interface Seen {
  readonly phase: MachinePhase;
  /** It is being destroyed. */
  readonly isEnding: boolean;
}

/** undefined: it has none of that id. `unlisted`: its list could not be had. */
export type Sight = Seen | undefined | 'unlisted';

export interface CompareSettings {
  /** When the list was begun, by Postgres's clock: what began later may be missing from it. */
  readonly listedAt: Date;
  readonly quietMs: number;
  readonly createTimeoutMs: number;
  /** Of users who have none of their own. */
  readonly idleMs: number;
}

export interface Suspicion extends Decision {
  readonly kind: FindingKind;
  readonly subject: string;
  /** Only the lane knows: ask it before. `running`: no finding where it runs. `idle`: none where it is about to act. */
  readonly unlessLane: 'running' | 'idle' | null;
}

/** What is wrong about one user: of the record at most one thing, and of the machine at most one. */
export function suspect(user: UserRow, sight: Sight, settings: CompareSettings): Suspicion[] {
  const found = [ofRecord(user, settings), ofMachine(user, sight, settings)];
  return found.filter((suspicion) => suspicion !== undefined);
}

function isOlder(at: Date | null, ms: number, user: UserRow): boolean {
  return at === null || at.getTime() + ms < user.now.getTime();
}

function ofRecord(user: UserRow, { quietMs }: CompareSettings): Suspicion | undefined {
  const { turn, state, workflowId } = user;
  const isQuiet = isOlder(user.lastEventAt, quietMs, user);
  if (state === 'destroying') {
    if (!isQuiet) return undefined;
    const kind = 'destroy_unfinished';
    return { kind, subject: workflowId, action: 'look', reason: null, unlessLane: null };
  }
  if (turn === null || state !== 'active') return undefined;
  const { turnId: subject } = turn;
  if (turn.state === 'queued') {
    if (!isQuiet) return undefined;
    return { kind: 'signal_lost', subject, action: 'enqueueTurn', reason: null, unlessLane: null };
  }
  if (turn.cancelRequestedAt !== null && isOlder(turn.cancelRequestedAt, quietMs, user)) {
    // A lane that does not run finds the cancel by itself, with whatever it is told.
    return { kind: 'cancel_lost', subject, action: 'cancelTurn', reason: null, unlessLane: null };
  }
  if (!isQuiet) return undefined;
  return { kind: 'lane_not_running', subject, action: 'enqueueTurn', reason: null, unlessLane: 'running' };
}

function ofMachine(user: UserRow, sight: Sight, settings: CompareSettings): Suspicion | undefined {
  const { machine, turn, state } = user;
  if (machine === null || state !== 'active') return undefined;
  const { machineId, phase } = machine;
  if (machineId !== null && sight !== 'unlisted' && isGone(machine.createdAt, sight, settings)) {
    // It is replaced, or deleted, as it is.
    if (phase === 'failed' || phase === 'destroying') return undefined;
    return { kind: 'machine_gone', subject: machineId, action: 'machineLost', reason: null, unlessLane: null };
  }
  if (turn !== null) return undefined;
  if (phase === 'provisioning') {
    if (!isOlder(user.lastEventAt, settings.quietMs + settings.createTimeoutMs, user)) return undefined;
    const kind = 'creation_unfinished';
    return { kind, subject: user.workflowId, action: 'wakeNow', reason: null, unlessLane: null };
  }
  const isAwake = sight !== 'unlisted' && sight?.phase === 'running';
  return machineId !== null && isAwake ? ofAwake(user, { ...machine, machineId }, settings) : undefined;
}

function isGone(createdAt: Date, sight: Seen | undefined, { listedAt }: CompareSettings): boolean {
  // One that was begun after the list may be missing from it.
  if (sight === undefined) return createdAt < listedAt;
  return sight.isEnding || sight.phase === 'failed';
}

/** No turn is open, and the provider says that it runs. */
function ofAwake(
  user: UserRow,
  machine: NonNullable<UserRow['machine']> & { readonly machineId: string },
  { quietMs, idleMs }: CompareSettings,
): Suspicion | undefined {
  const awake = { kind: 'awake_without_reason', subject: machine.machineId } as const;
  switch (machine.phase) {
    case 'asleep':
      if (!isOlder(user.lastEventAt, quietMs, user)) return undefined;
      // Our sleep was refused: the provider's own will come, and asking again would only put it off.
      if (machine.isMetered) return { ...awake, action: 'report', reason: 'left_to_autosleep', unlessLane: null };
      return { ...awake, action: 'sleepNow', reason: 'asleep_by_ledger', unlessLane: null };
    case 'failed':
      return { ...awake, action: 'report', reason: 'failed_by_ledger', unlessLane: null };
    case 'ready':
    case 'bootstrapping':
    case 'waking':
    case 'sleeping':
      if (machine.isLeased) return undefined;
      if (!isOlder(user.lastEventAt, (user.idleMs ?? idleMs) + quietMs, user)) return undefined;
      return { ...awake, action: 'sleepNow', reason: null, unlessLane: 'idle' };
    case 'provisioning':
    case 'destroying':
    case 'destroyed':
      return undefined;
  }
}

export interface UnknownSettings {
  readonly isAccountDedicated: boolean;
  /** Longer than any create can take. */
  readonly graceMs: number;
}

/**
 * What is done about a machine that no row of the ledger names. It was there when it was first seen, and a row is stored before its
 * create is sent: so a create that was begun after that instant cannot have made it, and every other one in flight may have.
 */
export function judgeUnknown(
  machine: { readonly firstSeenAt: Date; readonly now: Date; readonly destroysLeft: number },
  ledger: Pick<LedgerView, 'oldestFlightAt' | 'isEmpty'>,
  settings: UnknownSettings,
): Decision {
  const { firstSeenAt, now, destroysLeft } = machine;
  if (!settings.isAccountDedicated) return { action: 'report', reason: 'account_is_shared' };
  // The wrong database, or a new one: whoever owns these machines, their ledger is elsewhere.
  if (ledger.isEmpty) return { action: 'report', reason: 'ledger_is_empty' };
  if (ledger.oldestFlightAt !== null && ledger.oldestFlightAt <= firstSeenAt) {
    return { action: 'wait', reason: 'create_in_flight' };
  }
  if (now.getTime() - firstSeenAt.getTime() < settings.graceMs) return { action: 'wait', reason: 'grace_period' };
  return judgeDestroy(destroysLeft);
}

/** Of a machine that is certain to be nobody's. */
export function judgeDestroy(destroysLeft: number): Decision {
  return destroysLeft > 0 ? { action: 'destroy', reason: null } : { action: 'wait', reason: 'limit_reached' };
}
