/** What must be true of a lane's record, whatever was asked of it: the reference model's claims. */
import { expect } from 'vitest';
import type { ErrorCode } from '../../../src/contracts/errors.js';
import type { ActivityName, Execution, LaneRecord, TurnRecord } from './lane-record.js';

/** What was asked of a lane and done to it, as far as it bears on how turns may end. */
export interface Asked {
  /** Ids of turns whose cancel was asked for. */
  readonly cancelled: Set<string>;
  /** Codes that turns may end with, since an activity was made to fail. */
  readonly mayFailAs: Set<ErrorCode>;
  wasDestroyed: boolean;
}

/** A shorter limit than this may end any turn. */
const SHORT_WALL_MS_MAX = 60_000;
const NEVER_BESIDE_SLEEP: ReadonlySet<ActivityName> = new Set([
  'act',
  'stopCommand',
  'wakeMachine',
  'bootstrapMachine',
  'provisionMachine',
]);

/** Every turn has ended, as one of the ends that what was asked for allows, each of its commands run at most once. */
export function checkTurns(record: LaneRecord, asked: Asked): void {
  for (const turn of record.turns) {
    const about = `turn ${turn.turnId}: ${turn.state} ${turn.code ?? ''}`;
    expect(['completed', 'failed', 'cancelled'], about).toContain(turn.state);
    expect([...possibleCodes(turn, record, asked)], about).toContain(turn.code);
    const calls = turn.steps.flat();
    expect(
      calls.every(({ runs }) => runs <= 1),
      `${about}, a command ran twice`,
    ).toBe(true);
    if (turn.state !== 'completed') continue;
    expect(
      turn.steps.map((step) => step.map(({ tool }) => tool)),
      about,
    ).toEqual(turn.plan);
    expect(
      calls.every(({ outcome }) => outcome !== null),
      `${about}, a call without an outcome`,
    ).toBe(true);
  }
}

/** null: completed. */
function possibleCodes(turn: TurnRecord, { settings }: LaneRecord, asked: Asked): Set<ErrorCode | null> {
  const possible = new Set<ErrorCode | null>(asked.mayFailAs);
  possible.add(turn.plan.length >= settings.stepsMax ? 'TURN_STEPS_EXCEEDED' : null);
  if (asked.cancelled.has(turn.turnId)) possible.add('CANCELLED');
  if (asked.wasDestroyed) possible.add('USER_DESTROYED');
  if (settings.wallMs < SHORT_WALL_MS_MAX) possible.add('TURN_DEADLINE_EXCEEDED');
  return possible;
}

/** Turns began in the order of their positions, each over before the next began, and each ended once. */
export function checkOrder({ turns, executions, turnCount }: LaneRecord): void {
  expect(turnCount, 'ends of turns').toBe(turns.length);
  let overAt = 0;
  for (const { turnId, turnKey, openedAt, endedAt } of turns) {
    if (openedAt === null) continue;
    expect(openedAt, `turn ${turnId} began before the one ahead of it was over`).toBeGreaterThan(overAt);
    overAt = endedAt ?? Infinity;
    const commands = executions.filter(({ name, ...of }) => name === 'act' && of.turnKey === turnKey);
    expect(
      commands.every(({ begunAt }) => begunAt > openedAt),
      `a command of turn ${turnId} before it began`,
    ).toBe(true);
  }
}

/** Nothing that needs the machine ran beside its going to sleep. */
export function checkSleep({ executions }: LaneRecord): void {
  for (const sleep of executions.filter(({ name }) => name === 'sleepMachine')) {
    const isBeside = (other: Execution): boolean =>
      // What a terminated run left behind is refused by its number.
      other.runId === sleep.runId && begins(other) < ends(sleep) && ends(other) > begins(sleep);
    const beside = executions.filter((other) => NEVER_BESIDE_SLEEP.has(other.name) && isBeside(other));
    expect(
      beside.map(({ name }) => name),
      'beside sleepMachine',
    ).toEqual([]);
  }
}

const begins = ({ begunAt }: Execution): number => begunAt;
const ends = ({ overAt }: Execution): number => overAt ?? Infinity;
