/** One user of the load: their turns one after the other, each with the faults that the plan has for it. */
import { callsBeside, canaryOf, companionsOf } from '../plan/expectation.js';
import { FAULTS } from '../plan/kinds.js';
import type { PlannedFault, PlannedTurn, PlannedUser } from '../plan/plan.js';
import type { RunContext } from '../run-context.js';
import { strikeCommand } from '../strike/command-faults.js';
import { armWire, isWireFault } from '../strike/wire-faults.js';
import { surely, within } from '../surely.js';
import { callByMcp } from './mcp-caller.js';
import { isUnknown, submit, toSubmission, untilOver, type Submission } from './submit.js';

const ASLEEP_MS_MAX = 20_000;
/** Several workers may die at it, each of which is noticed only by its heartbeat. */
const DESTROYED_MS_MAX = 180_000;

export async function liveThrough(context: RunContext, user: PlannedUser): Promise<void> {
  const canary = canaryOf(context.plan, user.userId);
  try {
    for (const [number, turn] of user.turns.entries()) {
      await takeTurn(context, toSubmission(user.userId, turn, canary), { user, number, canary });
      context.progressed.turnsEnded += 1;
    }
    if (user.isDestroyed) await destroy(context, user.userId);
  } catch (error) {
    if (!isUnknown(error)) throw error;
    context.journal.complain(`${user.userId} is not in the record`); // What was acknowledged is compared at the end.
  }
}

async function takeTurn(
  context: RunContext,
  submission: Submission,
  { user, number, canary }: { user: PlannedUser; number: number; canary: string },
): Promise<void> {
  const { userId, turn } = submission;
  await armWire(context, userId, turn.faults.filter(isWireFault));
  if (turn.sleepsBefore) await fallAsleep(context, userId);
  await submitStruck(context, submission, canary);
  const all = expected(submission, canary);
  if (!user.isDestroyed)
    for (const one of all) context.projections.follow({ userId, turnId: one.turn.turnId, prompt: one.prompt });
  const struck = turn.faults.filter(({ kind }) => FAULTS[kind].moment === 'command');
  await Promise.all([
    ...struck.map((fault) => strikeCommand(context, userId, turn, fault)),
    ...all.map((one) => untilOver(context, one)),
    // Behind the turn, whose faults are not for them.
    ...callsBeside(user, number).map((call) => callByMcp(context, userId, call)),
  ]);
  for (const fault of turn.faults.filter(({ kind }) => FAULTS[kind].moment === 'prompt'))
    notePrompt(context, submission, fault);
}

/** The turn, and those that went in with it. */
function expected(submission: Submission, canary: string): Submission[] {
  const { userId, turn } = submission;
  const hasCompanions = turn.faults.some(({ kind }) => kind === 'submit-concurrent');
  return hasCompanions
    ? [submission, ...companionsOf(turn).map((one) => toSubmission(userId, one, canary))]
    : [submission];
}

/** Asks for sleep and waits for it; a machine that is kept from it is no reason to wait for ever. */
async function fallAsleep(context: RunContext, userId: string): Promise<void> {
  await surely(() => context.rig.stack.client.sleepNow({ userId }), isUnknown);
  await within(ASLEEP_MS_MAX, async () => {
    const [row] = await context.rig.sql<{ phase: string }>(
      `select phase from machines where user_id = $1 and phase <> 'destroyed'`,
      [userId],
    );
    return row === undefined || row.phase === 'asleep' || row.phase === 'failed';
  });
}

async function submitStruck(context: RunContext, submission: Submission, canary: string): Promise<void> {
  const { userId, turn } = submission;
  const fault = turn.faults.find(({ kind }) => FAULTS[kind].moment === 'submit');
  const atMs = Date.now();
  const struck = (isEffective: boolean): void => {
    if (fault === undefined) return;
    context.journal.struck({ fault, userId, turnId: turn.turnId, atMs, untilMs: Date.now(), isEffective });
  };
  switch (fault?.kind) {
    case 'commit-lost':
    case 'commit-unanswered': {
      let isCut = false;
      const when = fault.kind === 'commit-lost' ? 'before' : 'after';
      void context.rig.clientProxy.cutNextCommit(when).then(() => (isCut = true));
      await submit(context, submission);
      return struck(isCut);
    }
    case 'submit-duplicate': {
      const answers = await Promise.all([submit(context, submission), submit(context, submission)]);
      const isNewAgain = await submit(context, submission);
      return struck(!isNewAgain && answers.filter(Boolean).length <= 1);
    }
    case 'submit-concurrent':
      await Promise.all(expected(submission, canary).map((one) => submit(context, one)));
      return struck(true);
    default:
      await submit(context, submission);
  }
}

/** The prompt itself told the model to fail: it did where the step needed more than one try. */
function notePrompt(
  context: RunContext,
  { userId, turn }: { userId: string; turn: PlannedTurn },
  fault: PlannedFault,
): void {
  const now = Date.now();
  context.journal.struck({ fault, userId, turnId: turn.turnId, atMs: now, untilMs: now, isEffective: undefined });
}

async function destroy(context: RunContext, userId: string): Promise<void> {
  const { client } = context.rig.stack;
  await surely(() => client.destroyUser({ userId }), isUnknown);
  const isDone = async (): Promise<boolean> => (await surely(() => client.getUser({ userId }))).state === 'destroyed';
  if (!(await within(DESTROYED_MS_MAX, isDone))) context.journal.complain(`${userId} was not destroyed in time`);
}
