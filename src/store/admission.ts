/** Admission: what a backend may write. A turn is taken whole or not at all, and its place in the order is given here. */
import { createHash } from 'node:crypto';
import { InnkeeperError } from '../contracts/errors.js';
import { appendEvent } from './events.js';
import { toGivenColumns, type GivenCall } from './given-call.js';
import { withTransaction, type Store } from './pool.js';
import { one, statement, toStorable } from './sql.js';
import { noteTurnEnd, type TurnState } from './turns.js';
import { destroyedUser, lockOrCreateUser, lockUser, unknownUser } from './users.js';

export interface AdmitTurnInput {
  readonly userId: string;
  /** Of a user that is not known yet. */
  readonly workflowId: string;
  readonly turnId: string;
  /** What the user said; of a turn whose call is given, a line that says so. */
  readonly prompt: string;
  readonly given?: GivenCall;
  /** Open turns that the user may have, this one and the running one included. */
  readonly openTurnsMax: number;
}

export interface AdmittedTurn {
  readonly turnKey: string;
  readonly position: number;
  readonly state: TurnState;
  /** false: this id and body were admitted before. */
  readonly isNew: boolean;
  /** The user's lane: the one to signal. */
  readonly workflowId: string;
}

/** Runs under the user's row lock, so its snapshot holds all that was admitted before. */
const admit = statement(
  'admit_turn',
  `with existing as (
     select turn_key, position, state, body_hash from turns where user_id = $1 and turn_id = $2
   ), place as (
     update users set position = position + 1
     where user_id = $1 and not exists (select from existing)
       and (select count(*) from turns where user_id = $1 and state in ('queued', 'running')) < $5
     returning position
   ), inserted as (
     insert into turns (user_id, turn_id, position, body_hash, prompt, given_tool, given_arguments, origin)
     select $1, $2, place.position, $3, $4, $6, $7, $8 from place
     returning turn_key, position, state, body_hash
   )
   select turn_key::text, position, state, body_hash, true as is_new from inserted
   union all
   select turn_key::text, position, state, body_hash, false from existing`,
);

/**
 * Admits a turn; an unknown user is created with it. The same id with the same prompt or call answers the same turn.
 * @throws InnkeeperError TURN_ID_REUSED, QUEUE_FULL, USER_DESTROYED; nothing is stored then
 */
export function admitTurn(store: Store, turn: AdmitTurnInput): Promise<AdmittedTurn> {
  const { userId, turnId, prompt } = turn;
  const bodyHash = bodyHashOf(turn);
  return withTransaction(store, async (tx) => {
    const user = await lockOrCreateUser(tx, turn);
    if (user.state !== 'active') throw destroyedUser(user.state);
    const answer = await tx.query<{
      turn_key: string;
      position: number;
      state: TurnState;
      body_hash: string;
      is_new: boolean;
    }>(admit, [...[userId, turnId, bodyHash, toStorable(prompt), turn.openTurnsMax], ...toGivenColumns(turn.given)]);
    if (answer.rowCount === 0) {
      throw new InnkeeperError('QUEUE_FULL', `The user has ${turn.openTurnsMax} open turns, which is the limit.`);
    }
    const row = one(answer);
    if (row.body_hash !== bodyHash) {
      throw new InnkeeperError('TURN_ID_REUSED', 'This turn id was used with another prompt or call.');
    }
    if (row.is_new) {
      const body = { type: 'turn.queued', position: row.position } as const;
      appendEvent(tx, { userId, turnKey: row.turn_key, body });
    }
    const { turn_key: turnKey, position, state, is_new: isNew } = row;
    return { turnKey, position, state, isNew, workflowId: user.workflow_id };
  });
}

/** A call's never equals a prompt's, whatever the prompt says. */
function bodyHashOf({ prompt, given }: AdmitTurnInput): string {
  const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
  return given === undefined ? hash(prompt) : `call:${hash(JSON.stringify([given.tool, given.argumentsJson]))}`;
}

/** The turn $2 of the user $1 as it was found; where it waits, it is over. */
const CLOSE_WAITING = `target as (
     select turn_key, state from turns where user_id = $1 and turn_id = $2
   ), closed as (
     update turns set state = 'cancelled', error_code = 'CANCELLED', ended_at = clock_timestamp()
     where turn_key = (select turn_key from target where state = 'queued')
   )`;

const cancel = statement(
  'cancel_turn',
  `with ${CLOSE_WAITING}, flagged as (
     update turns set cancel_requested_at = clock_timestamp()
     where turn_key = (select turn_key from target where state = 'running') and cancel_requested_at is null
   )
   select turn_key::text, state from target`,
);

/**
 * Cancels a turn: a waiting one ends here, a running one is flagged and its lane ends it. One that is over stays as it is.
 * @throws InnkeeperError USER_UNKNOWN, TURN_UNKNOWN
 */
export function requestCancel(
  store: Store,
  turn: { readonly userId: string; readonly turnId: string },
): Promise<{ state: Exclude<TurnState, 'queued'>; wasQueued: boolean; workflowId: string }> {
  return withTransaction(store, async (tx) => {
    const user = await lockUser(tx, turn.userId);
    if (user === undefined) throw unknownUser();
    const found = await tx.query<{ turn_key: string; state: TurnState }>(cancel, [turn.userId, turn.turnId]);
    if (found.rowCount === 0) throw new InnkeeperError('TURN_UNKNOWN', 'This user has no such turn.');
    const { turn_key: turnKey, state } = one(found);
    const workflowId = user.workflow_id;
    if (state !== 'queued') return { state, wasQueued: false, workflowId };
    noteTurnEnd(tx, { userId: turn.userId, turnKey, outcome: 'cancelled', code: 'CANCELLED', hasRun: false });
    return { state: 'cancelled', wasQueued: true, workflowId };
  });
}

const removeQueued = statement(
  'remove_queued_turn',
  `with ${CLOSE_WAITING}
   select turn_key::text, state from target`,
);

/**
 * Removes a turn that waits; one that runs, or is over, stays as it is.
 * @throws InnkeeperError USER_UNKNOWN, TURN_UNKNOWN, TURN_NOT_WAITING
 */
export function removeWaiting(store: Store, turn: { readonly userId: string; readonly turnId: string }): Promise<void> {
  return withTransaction(store, async (tx) => {
    if ((await lockUser(tx, turn.userId)) === undefined) throw unknownUser();
    const found = await tx.query<{ turn_key: string; state: TurnState }>(removeQueued, [turn.userId, turn.turnId]);
    if (found.rowCount === 0) throw new InnkeeperError('TURN_UNKNOWN', 'This user has no such turn.');
    const { turn_key: turnKey, state } = one(found);
    if (state !== 'queued') throw new InnkeeperError('TURN_NOT_WAITING', `The turn is ${state}.`);
    noteTurnEnd(tx, { userId: turn.userId, turnKey, outcome: 'cancelled', code: 'CANCELLED', hasRun: false });
  });
}
