/** What survives continue-as-new (pure): a numbered schema, plain JSON. */
import { isErrorCode } from '../contracts/errors.js';
import { LANE_PHASES, type LanePhase } from '../contracts/lane-state.js';
import type { LaneData } from './lane-data.js';

export const CARRY_SCHEMA = 1;

export interface Carry extends LaneData {
  readonly schema: typeof CARRY_SCHEMA;
  /** Something may be waiting in Postgres (a turn between two steps, an admitted turn): look at once. */
  readonly mustLook: boolean;
  /** The machine is to sleep as soon as no turn is open. */
  readonly sleepRequested: boolean;
}

export type CarriedNotes = Pick<Carry, 'mustLook' | 'sleepRequested'>;

export function carryOf(data: LaneData, { mustLook, sleepRequested }: CarriedNotes): Carry {
  return { schema: CARRY_SCHEMA, mustLook, sleepRequested, ...data };
}

const isWhole = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
const isPhase = (value: unknown): value is LanePhase => (LANE_PHASES as readonly unknown[]).includes(value);

/**
 * Reads a carry. Anything that is not one (no argument, another program's argument, an undecodable one) answers undefined,
 * and the run then starts from Postgres.
 */
export function parseCarry(value: unknown): Carry | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const carry = value as Partial<Record<keyof Carry, unknown>>;
  const isCarry =
    carry.schema === CARRY_SCHEMA &&
    typeof carry.mustLook === 'boolean' &&
    typeof carry.sleepRequested === 'boolean' &&
    isPhase(carry.phase) &&
    isWhole(carry.generation) &&
    (carry.machineId === null || typeof carry.machineId === 'string') &&
    isWhole(carry.turnCount) &&
    (carry.lastTurnAtMs === null || isWhole(carry.lastTurnAtMs)) &&
    isWhole(carry.lastActivityAtMs) &&
    (carry.lastErrorCode === null || isErrorCode(carry.lastErrorCode)) &&
    isWhole(carry.idleMs) &&
    isWhole(carry.stepsMax) &&
    // Absent in the carry of a release that did not know it.
    (carry.wallMs === undefined || carry.wallMs === null || isWhole(carry.wallMs));
  return isCarry ? (value as Carry) : undefined;
}

/** The lane's data of a carry, without what only the roll-over needs and without anything that is not ours. */
export function dataOf(carry: Carry): LaneData {
  const { phase, generation, machineId, turnCount, lastTurnAtMs } = carry;
  const { lastActivityAtMs, lastErrorCode, idleMs, stepsMax } = carry;
  const wallMs = (carry as Partial<LaneData>).wallMs ?? null;
  const times = { lastTurnAtMs, lastActivityAtMs, idleMs, wallMs };
  return { phase, generation, machineId, turnCount, lastErrorCode, stepsMax, ...times };
}
