/** The submission of a command: stored before anything is sent, under which machine and boot it is sent. */
import { InnkeeperError } from '../contracts/errors.js';
import { appendEvent } from './events.js';
import { requireAdopted, requireLaneTurn, type LaneRun } from './lane.js';
import { withTransaction, type Store, type Tx } from './pool.js';
import { one, statement } from './sql.js';

/** Names one call. */
export interface CallKey {
  readonly turnKey: string;
  readonly step: number;
  readonly index: number;
}

/** Under which machine and boot a command was submitted. */
export interface Submission {
  readonly generation: number;
  readonly bootId: string;
}

/** The terminal's lease that nobody has ended: at most one. `is_taken` false: it died by itself, or with its machine. */
export const KEYBOARD = `select l.expires_at > clock_timestamp() and l.generation = u.generation as is_taken
  from users u join machine_leases l on l.user_id = u.user_id and l.kind = 'terminal' and l.ended_at is null`;

const submit = statement(
  'submit_call',
  `with known as (
     select submitted_at, try from tool_calls where turn_key = $1::bigint and step = $2 and index = $3
   ), held as (
     select 1 from known, (${KEYBOARD} where l.user_id = $8) keyboard
     where keyboard.is_taken and known.submitted_at is null and known.try = $4
   ), submitted as (
     update tool_calls set submitted_generation = $5, submitted_boot_id = $6, submitted_attachment = $7,
       submitted_at = coalesce(submitted_at, clock_timestamp())
     where turn_key = $1::bigint and step = $2 and index = $3 and outcome is null and try = $4
       and (submitted_at is null or (submitted_generation = $5 and submitted_boot_id = $6))
       and exists (select from machines where user_id = $8 and generation = $5 and phase <> 'destroyed')
       and not exists (select from held)
     returning cmd_id, tool
   )
   select submitted.cmd_id, submitted.tool, known.submitted_at is null as is_first, exists (select from held) as is_held
   from known left join submitted on true`,
);

interface SubmittedRow {
  /** null: it was not stored. */
  cmd_id: string | null;
  tool: string;
  is_first: boolean;
  is_held: boolean;
}

/** `closed`: the turn is over, or its cancel was asked for. `held`: a person has taken the keyboard, as for beginCall. */
export type StoredSubmission = 'stored' | 'closed' | 'held';

/**
 * Stores under which boot the command is about to be sent, and answers whether it may be. STALE_TRY: it must not be sent by this
 * try (a newer one, settled, submitted under another boot before, the machine buried). A try that still counts is repeated then; to
 * its lane it may not look like an end, since the command may run.
 * @throws InnkeeperError STALE_LANE, STALE_TRY, TURN_UNKNOWN
 */
export function storeSubmission(
  store: Store,
  options: LaneRun & CallKey & Submission & { readonly try: number; readonly attachment?: number },
): Promise<StoredSubmission> {
  const { turnKey, step, index, generation, bootId, attachment } = options;
  return withTransaction(store, async (tx) => {
    const { user, turn } = await requireLaneTurn(tx, options);
    if (turn.state !== 'running' || turn.isCancelRequested) return 'closed';
    requireAdopted(user, turn);
    const values = [turnKey, step, index, options.try, generation, bootId, attachment ?? null, user.userId];
    const {
      cmd_id: cmdId,
      tool,
      is_first: isFirst,
      is_held: isHeld,
    } = one(await tx.query<SubmittedRow>(submit, values));
    if (isHeld) return 'held';
    if (cmdId === null) throw new InnkeeperError('STALE_TRY', 'This attempt may not send the command any more.');
    if (isFirst) noteStart(tx, user.userId, options, { cmd_id: cmdId, tool });
    return 'stored';
  });
}

/** Tells that a command was submitted for the first time. */
export function noteStart(tx: Tx, userId: string, call: CallKey, row: { cmd_id: string; tool: string }): void {
  const { turnKey, step, index } = call;
  const body = { type: 'command.started', step, index, cmdId: row.cmd_id, tool: row.tool } as const;
  appendEvent(tx, { userId, turnKey, body });
}
