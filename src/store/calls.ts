/**
 * Tool calls: a try is numbered before anything is done, a submission is stored before anything is sent (submission.ts), and the
 * first outcome stays. With no row updated the caller sends nothing.
 */
import type { CallOutcome, StopWord } from '../contracts/activities.js';
import { InnkeeperError } from '../contracts/errors.js';
import { restartPart } from './deltas.js';
import { requireAdopted, requireLane, requireLaneTurn, type LaneRun } from './lane.js';
import { endDeadLeases } from './leases.js';
import { getMachine, type MachineRow } from './machines.js';
import { withTransaction, type Store } from './pool.js';
import { one, statement, type Queryable } from './sql.js';
import { KEYBOARD, noteStart, type CallKey, type Submission } from './submission.js';

export interface StoredCall {
  readonly cmdId: string;
  readonly tool: string;
  readonly argumentsJson: string;
  readonly callId: string;
}

export type BegunCall =
  /** The turn is over, or its cancel was asked for: start nothing. */
  | { readonly kind: 'closed' }
  /** A person has the keyboard, and the command was never submitted: nothing begins before they hand it back. */
  | { readonly kind: 'held' }
  | { readonly kind: 'settled'; readonly outcome: CallOutcome; readonly exitCode: number | null }
  | {
      readonly kind: 'begin';
      readonly userId: string;
      readonly try: number;
      readonly call: StoredCall;
      readonly deadlineAtMs: number;
      /** What an earlier try stored; null: this command was never submitted before. */
      readonly submitted: Submission | null;
      /** True where this transaction stored the submission under `boot`: it may be sent at once. */
      readonly isSubmissionStored: boolean;
      /** The user's live machine, if there is one. */
      readonly machine: MachineRow | undefined;
    };

interface BegunRow {
  cmd_id: string;
  tool: string;
  arguments_json: string;
  call_id: string;
  outcome: CallOutcome | null;
  exit_code: number | null;
  submitted_generation: number | null;
  submitted_boot_id: string | null;
  try: number | null;
  is_submission_stored: boolean;
  is_held: boolean;
  has_dead_lease: boolean;
}

// The parts of a statement see the rows as they were before it: `known` is the call as earlier tries left it.
const begin = statement(
  'begin_call',
  `with known as (
     select * from tool_calls where turn_key = $1::bigint and step = $2 and index = $3
   ), keyboard as (
     ${KEYBOARD} where l.user_id = $5
   ), held as (
     select 1 from known, keyboard where keyboard.is_taken and known.submitted_at is null
   ), warm as (
     select 1 from known
     where submitted_at is null
       and exists (select from machines where user_id = $5 and generation = $6 and boot_id = $7 and phase = 'ready')
   ), begun as (
     update tool_calls set try = tool_calls.try + 1,
       submitted_generation = case when exists (select from warm) then $6 else submitted_generation end,
       submitted_boot_id = case when exists (select from warm) then $7 else submitted_boot_id end,
       submitted_attachment = case when exists (select from warm) then $8 else submitted_attachment end,
       submitted_at = case when exists (select from warm) then clock_timestamp() else submitted_at end
     where turn_key = $1::bigint and step = $2 and index = $3 and outcome is null and $4::boolean
       and not exists (select from held)
     returning try
   )
   select k.cmd_id, k.tool, k.arguments_json, k.call_id, k.outcome, k.exit_code, k.submitted_generation, k.submitted_boot_id,
          b.try, b.try is not null and exists (select from warm) as is_submission_stored,
          exists (select from held) as is_held, exists (select from keyboard where not is_taken) as has_dead_lease
   from known k left join begun b on true`,
);

/**
 * Numbers a try of a call. Where the caller holds an attachment to a boot (`boot`) that is still the machine's, and the command
 * was never submitted, the submission is stored at once.
 * @throws InnkeeperError STALE_LANE, TURN_UNKNOWN
 */
export function beginCall(
  store: Store,
  options: LaneRun & CallKey & { readonly boot: (Submission & { readonly attachment?: number }) | null },
): Promise<BegunCall> {
  const { turnKey, step, index, boot } = options;
  return withTransaction(store, async (tx) => {
    const { user, turn } = await requireLaneTurn(tx, options);
    const mayBegin = turn.state === 'running' && !turn.isCancelRequested;
    if (mayBegin) requireAdopted(user, turn);
    const submission = [boot?.generation ?? null, boot?.bootId ?? null, boot?.attachment ?? null];
    const [found, machine] = await Promise.all([
      tx.query<BegunRow>(begin, [turnKey, step, index, mayBegin, user.userId, ...submission]),
      getMachine(tx, user),
    ]);
    const row = one(found);
    if (row.has_dead_lease) await endDeadLeases(tx, user);
    if (row.outcome !== null) return { kind: 'settled', outcome: row.outcome, exitCode: row.exit_code };
    if (!mayBegin) return { kind: 'closed' };
    if (row.is_held) return { kind: 'held' };
    if (row.try === null || turn.deadlineAt === null) throw new Error('an open call of a running turn did not begin');
    if (row.is_submission_stored) noteStart(tx, user.userId, options, row);
    if (row.try > 1) await restartPart(tx, { turnKey, step, index, try: row.try });
    return {
      kind: 'begin',
      userId: user.userId,
      try: row.try,
      call: { cmdId: row.cmd_id, tool: row.tool, argumentsJson: row.arguments_json, callId: row.call_id },
      deadlineAtMs: turn.deadlineAt.getTime(),
      submitted: toSubmission(row),
      isSubmissionStored: row.is_submission_stored,
      machine,
    };
  });
}

function toSubmission(row: {
  submitted_generation: number | null;
  submitted_boot_id: string | null;
}): Submission | null {
  const { submitted_generation: generation, submitted_boot_id: bootId } = row;
  return generation === null || bootId === null ? null : { generation, bootId };
}

const UNSETTLED = 'turn_key = $1::bigint and submitted_at is not null and outcome is null';
const UNSETTLED_COLUMNS = 'step, index, cmd_id, tool, submitted_generation, submitted_boot_id';

const selectUnsettled = statement(
  'select_unsettled_calls',
  `select ${UNSETTLED_COLUMNS} from tool_calls where ${UNSETTLED} order by step, index`,
);
const markStopped = statement(
  'mark_stopped_calls',
  `with marked as (
     update tool_calls set stopped_as = coalesce(stopped_as, $2) where ${UNSETTLED} returning ${UNSETTLED_COLUMNS}
   )
   select * from marked order by step, index`,
);

export interface UnsettledCall {
  readonly step: number;
  readonly index: number;
  readonly cmdId: string;
  readonly tool: string;
  readonly submitted: Submission;
}

interface UnsettledRow {
  step: number;
  index: number;
  cmd_id: string;
  tool: string;
  submitted_generation: number;
  submitted_boot_id: string;
}

/** The turn's commands that were submitted and have no outcome. */
export async function unsettledCalls(
  store: Queryable,
  { turnKey }: { readonly turnKey: string },
): Promise<UnsettledCall[]> {
  const { rows } = await store.query<UnsettledRow>(selectUnsettled, [turnKey]);
  return rows.map(toUnsettled);
}

/**
 * As unsettledCalls, for whoever is about to stop them: each now carries `as`, the word that its outcome is told with if the stop
 * is what ends it, whoever hears of the end first. The first word stays.
 * @throws InnkeeperError STALE_LANE, TURN_UNKNOWN
 */
export function callsToStop(
  store: Store,
  { turnKey, as, ...run }: LaneRun & { readonly turnKey: string; readonly as: StopWord },
): Promise<UnsettledCall[]> {
  return withTransaction(store, async (tx) => {
    await requireLaneTurn(tx, { ...run, turnKey });
    const { rows } = await tx.query<UnsettledRow>(markStopped, [turnKey, as]);
    return rows.map(toUnsettled);
  });
}

function toUnsettled(row: UnsettledRow): UnsettledCall {
  return {
    step: row.step,
    index: row.index,
    cmdId: row.cmd_id,
    tool: row.tool,
    submitted: { generation: row.submitted_generation, bootId: row.submitted_boot_id },
  };
}

const takeAttachment = statement(
  'take_attachment',
  'update users set attachment = attachment + 1 where user_id = $1 returning attachment',
);
const selectOpenTry = statement(
  'select_open_try',
  `select from tool_calls
   where turn_key = $1::bigint and step = $2 and index = $3 and try = $4 and outcome is null and stopped_as is null`,
);

/** One attempt at a call. */
export interface CallTry extends CallKey {
  readonly try: number;
}

/**
 * The number of the user's next attachment, with the machine to attach to. `forTry`: only while that is the newest try of a call
 * that has no outcome and is not being stopped, since a higher number fences out whoever is attached.
 * @throws InnkeeperError STALE_LANE, STALE_TRY, USER_UNKNOWN
 */
export function nextAttachment(
  store: Store,
  run: LaneRun,
  forTry?: CallTry,
): Promise<{ userId: string; attachment: number; machine: MachineRow | undefined }> {
  return withTransaction(store, async (tx) => {
    const user = await requireLane(tx, run);
    const [taken, machine, open] = await Promise.all([
      tx.query<{ attachment: number }>(takeAttachment, [user.userId]),
      getMachine(tx, user),
      forTry && tx.query(selectOpenTry, [forTry.turnKey, forTry.step, forTry.index, forTry.try]),
    ]);
    if (open?.rowCount === 0) {
      throw new InnkeeperError('STALE_TRY', 'A newer attempt of the call owns it, or the lane is stopping it.');
    }
    return { userId: user.userId, attachment: one(taken).attachment, machine };
  });
}
