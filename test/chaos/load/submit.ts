/** How a sender hands in a turn: again and again with the same id until it is told that the turn is taken. */
import { setTimeout as delay } from 'node:timers/promises';
import { InnkeeperError, type TurnView } from '../../../src/client.js';
import { promptOf } from '../plan/expectation.js';
import type { PlannedTurn } from '../plan/plan.js';
import type { RunContext } from '../run-context.js';
import { onLane } from '../strike/lane-faults.js';
import { surely, within } from '../surely.js';

export interface Submission {
  readonly userId: string;
  readonly turn: PlannedTurn;
  readonly prompt: string;
}

const PAUSE_MS = 100;
/** Before a sender that hears nothing says it again. */
const REPEAT_MS = 6_000;
/** A prompt that is not stored by then is lost. */
const STORED_MS_MAX = 180_000;
/**
 * A turn of a user none of whose turns has got anywhere for so long, and whom nothing has struck meanwhile, is lost. How long all of it
 * takes is a matter of how often it is struck: five workers that die in one step after the other are minutes.
 */
const STANDSTILL_MS_MAX = 180_000;

/** A part was away: the sender says it again. */
export function isPassing(error: unknown): boolean {
  return InnkeeperError.is(error) && ['STORE_UNAVAILABLE', 'LANE_UNREACHABLE'].includes(error.code);
}

/** Nothing that was acknowledged of this user is in the record. */
export function isUnknown(error: unknown): boolean {
  return InnkeeperError.is(error) && error.code === 'USER_UNKNOWN';
}

/** @returns whether it was new to the other side. @throws what no repeat can mend */
export async function submit(context: RunContext, { userId, turn, prompt }: Submission): Promise<boolean> {
  const { client } = context.rig.stack;
  const { turnId } = turn;
  if (turn.via === 'signal') {
    await submitBySignal(context, { userId, turn, prompt });
    return true;
  }
  const { isNew } = await surely(
    () =>
      turn.via === 'http'
        ? submitOverHttp(context, { userId, turn, prompt })
        : client.submitTurn({ userId, turnId, prompt }),
    (error) => !isPassing(error),
  );
  context.journal.acknowledge({ userId, turnId });
  return isNew;
}

async function submitOverHttp({ rig }: RunContext, { userId, turn, prompt }: Submission): Promise<{ isNew: boolean }> {
  const { turnId } = turn;
  const answer = await rig.gateways.post(`/v1/users/${userId}/turns`, { turnId, prompt });
  return { isNew: answer['isNew'] === true };
}

/** Such a prompt is acknowledged by being in the record; a message that nobody can read goes with it. */
async function submitBySignal(context: RunContext, { userId, turn, prompt }: Submission): Promise<void> {
  const { lanes, stack, sql } = context.rig;
  const { turnId } = turn;
  const isStored = async (): Promise<boolean> =>
    (await sql('select 1 from turns where user_id = $1 and turn_id = $2', [userId, turnId])).length > 0;
  // A lane whose workers are killed one after the other may lose a minute before it hears: ten seconds for each.
  const endsAt = Date.now() + STORED_MS_MAX;
  while (Date.now() < endsAt) {
    await surely(async () => {
      await stack.client.wakeNow({ userId }); // Starts the lane where it was terminated.
      await lanes.of(userId).signal('enqueueTurn', { nonsense: turnId });
      await lanes.of(userId).signal('enqueueTurn', { turnId, prompt });
    }, isUnknown);
    if (await within(REPEAT_MS, isStored)) {
      context.journal.acknowledge({ userId, turnId });
      return misdirect(context, { userId, turnId });
    }
  }
  context.journal.complain(`${turnId} was sent by signal and is not stored`);
}

/**
 * Tells another user's lane of the turn as well, and to cancel it. The turn is open by now, and nothing to that lane: P1 and P2 say
 * whether it was begun there or cancelled.
 */
async function misdirect(
  { plan, rig }: RunContext,
  { userId, turnId }: { userId: string; turnId: string },
): Promise<void> {
  const staying = plan.people.filter((user) => !user.isDestroyed);
  const at = staying.findIndex((user) => user.userId === userId);
  const stranger = staying[(at + 1) % staying.length]?.userId ?? userId;
  if (stranger === userId) return;
  await onLane(async () => {
    await rig.lanes.of(stranger).signal('enqueueTurn', { turnId });
    await rig.lanes.of(stranger).signal('cancelTurn', { turnId });
  });
}

/** Waits for the end; a turn that stays open is submitted again, as a sender does that waits for an answer. */
export async function untilOver(context: RunContext, submission: Submission): Promise<TurnView | undefined> {
  const { client } = context.rig.stack;
  const { userId, turn } = submission;
  let last = { news: '', atMs: Date.now() };
  while (Date.now() - last.atMs < STANDSTILL_MS_MAX) {
    const strikes = context.journal.strikes.filter((strike) => strike.userId === userId).length;
    const news = `${await lastEventOfTurns(context, userId)} ${strikes}`;
    if (news !== last.news) last = { news, atMs: Date.now() };
    try {
      return await client.turnResult({ userId, turnId: turn.turnId, timeoutMs: REPEAT_MS });
    } catch (error) {
      const code = InnkeeperError.is(error) ? error.code : '';
      if (code === 'TURN_UNKNOWN' || code === 'USER_UNKNOWN') {
        context.journal.complain(`${turn.turnId} was acknowledged and is not in the record: ${code}`);
        return undefined;
      }
    }
    await delay(PAUSE_MS); // A client that is closed fails at once.
    // Whatever it was, the id makes it safe to say it again.
    await client.submitTurn({ userId, turnId: turn.turnId, prompt: submission.prompt }).catch(() => undefined);
  }
  context.journal.complain(`${turn.turnId} stood still for ${STANDSTILL_MS_MAX / 1_000} s`);
  return undefined;
}

/** Changes with everything that happens to the user's turns, and with nothing that happens to the machine alone. */
async function lastEventOfTurns({ rig }: RunContext, userId: string): Promise<string> {
  const [row] = await rig.sql<{ seq: string | null }>(
    'select max(seq)::text as seq from turn_events where user_id = $1 and turn_key is not null',
    [userId],
  );
  return row?.seq ?? '';
}

export function toSubmission(userId: string, turn: PlannedTurn, canary: string): Submission {
  return { userId, turn, prompt: promptOf(turn, canary) };
}
