/** What the plan says about each turn and command in advance: the text, its canary, the exit code and the hash of the output. Pure. */
import { createHash } from 'node:crypto';
import type { Plan, PlannedCommand, PlannedTurn, PlannedUser } from './plan.js';

/** File in a guest's home with one line for each run of each command: its id, and what no other run can have written. */
export const EFFECTS_FILE = 'effects.txt';
/** Turns that are submitted at the same time as one that is struck by `submit-concurrent`. */
const COMPANIONS = 3;
/** Turns of a user for each call by MCP. */
const TURNS_PER_CALL = 4;

/** A text of one user, which nobody else may ever see. */
export function canaryOf(plan: { readonly seed: string }, userId: string): string {
  return `canary-${createHash('sha256').update(`${plan.seed}/${userId}`).digest('hex').slice(0, 16)}`;
}

/** What a prompt that rides in a signal carries in place of it: such a prompt is known to be in Temporal's history. */
export const OPEN_MARK = 'open';

function markOf(turn: PlannedTurn, canary: string): string {
  return turn.via === 'signal' ? OPEN_MARK : canary;
}

export function promptOf(turn: PlannedTurn, canary: string): string {
  const mark = markOf(turn, canary);
  const faults = turn.faults.flatMap(({ kind }) => MODEL_DIRECTIVES[kind] ?? []);
  return [
    `Turn ${turn.turnId} of ${mark}.`,
    ...faults,
    ...turn.commands.map((one) => `$ ${commandLineOf(one, mark)}`),
  ].join('\n');
}

/** How the emulator's model is told to fail, in the prompt itself. */
const MODEL_DIRECTIVES: Readonly<Record<string, string>> = {
  'model-timeout': '!model hang 1',
  'model-reset': '!model reset 1',
  'model-malformed': '!model malformed 1',
  'model-429': '!model 429 2 100',
};

/** The command's text, which prints the mark. */
export function commandLineOf({ id, outputLines, holdMs, exitCode }: PlannedCommand, mark: string): string {
  const hold = holdMs === 0 ? '' : ` sleep ${holdMs / 1_000};`;
  return `echo "${id} $EPOCHREALTIME.$BASHPID" >> ~/${EFFECTS_FILE}; seq -f '${id} ${mark} %g' ${outputLines};${hold} exit ${exitCode}`;
}

export interface ExpectedCommand {
  readonly id: string;
  readonly exitCode: number;
  /** SHA-256 (hex) of what it prints. */
  readonly outputHash: string;
}

export interface ExpectedTurn {
  readonly turnId: string;
  readonly userId: string;
  readonly prompt: string;
  readonly turn: PlannedTurn;
  readonly commands: readonly ExpectedCommand[];
}

export function expectTurn(plan: { readonly seed: string }, userId: string, turn: PlannedTurn): ExpectedTurn {
  const canary = canaryOf(plan, userId);
  const mark = markOf(turn, canary);
  return {
    turnId: turn.turnId,
    userId,
    prompt: promptOf(turn, canary),
    turn,
    commands: turn.commands.map(({ id, exitCode, outputLines }) => {
      const lines = Array.from({ length: outputLines }, (_, index) => `${id} ${mark} ${index + 1}\n`);
      return { id, exitCode, outputHash: createHash('sha256').update(lines.join('')).digest('hex') };
    }),
  };
}

/** Small turns that go in at the same time. */
export function companionsOf({ turnId }: PlannedTurn): PlannedTurn[] {
  return Array.from({ length: COMPANIONS }, (_, index) => {
    const id = `${turnId}-x${index}`;
    const commands = [{ id: `${id}-c0`, exitCode: 0, outputLines: 1, holdMs: 0 }];
    return { turnId: id, commands, sleepsBefore: false, via: 'client' as const, faults: [] };
  });
}

/** Calls that another agent makes by MCP while this turn is open: every so often one, at the machine of a user who stays. */
export function callsBeside({ isDestroyed, turns }: PlannedUser, number: number): PlannedTurn[] {
  const beside = turns[number];
  if (isDestroyed || beside === undefined || number % TURNS_PER_CALL !== TURNS_PER_CALL - 1) return [];
  const turnId = `${beside.turnId}-m`;
  const command = { id: `${turnId}-c0`, exitCode: number % 2, outputLines: 3, holdMs: 0 };
  return [{ turnId, commands: [command], sleepsBefore: false, via: 'mcp', faults: [] }];
}

/** Every turn that a user is going to submit, companions and calls included. */
export function turnsOf(user: PlannedUser): PlannedTurn[] {
  return user.turns.flatMap((turn, number) => [
    turn,
    ...(turn.faults.some(({ kind }) => kind === 'submit-concurrent') ? companionsOf(turn) : []),
    ...callsBeside(user, number),
  ]);
}

export function expectAll(plan: Plan): Map<string, ExpectedTurn> {
  const all = plan.people.flatMap((user) => turnsOf(user).map((turn) => expectTurn(plan, user.userId, turn)));
  return new Map(all.map((expected) => [expected.turnId, expected]));
}
