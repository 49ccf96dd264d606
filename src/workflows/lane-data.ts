/** The lane's own state: plain data that survives continue-as-new as the carry. No text of users, no turns. */
import type { LaneSettings, LaneView } from '../contracts/activities.js';
import type { ErrorCode } from '../contracts/errors.js';
import type { LanePhase, MachineView } from '../contracts/lane-state.js';
import { IDLE_MS_DEFAULT, TURN_STEPS_MAX_DEFAULT } from '../contracts/limits.js';

export interface LaneData {
  phase: LanePhase;
  generation: number;
  machineId: string | null;
  turnCount: number;
  /** ms since the epoch, as all times here. */
  lastTurnAtMs: number | null;
  /** End of the last turn, or the last wake: idle time counts from here. */
  lastActivityAtMs: number;
  lastErrorCode: ErrorCode | null;
  idleMs: number;
  stepsMax: number;
  /** Wall time of one turn; null until Postgres has told it. */
  wallMs: number | null;
}

export function newLaneData(nowMs: number): LaneData {
  return {
    phase: 'none',
    generation: 0,
    machineId: null,
    turnCount: 0,
    lastTurnAtMs: null,
    lastActivityAtMs: nowMs,
    lastErrorCode: null,
    idleMs: IDLE_MS_DEFAULT,
    stepsMax: TURN_STEPS_MAX_DEFAULT,
    wallMs: null,
  };
}

/** The ledger's word on the machine is newer than ours. */
export function applyMachine(data: LaneData, machine: MachineView): void {
  data.phase = machine.phase;
  data.generation = machine.generation;
  data.machineId = machine.machineId ?? null;
}

export function applySettings(data: LaneData, { idleMs, stepsMax, wallMs }: LaneSettings): void {
  data.idleMs = idleMs;
  data.stepsMax = stepsMax;
  data.wallMs = wallMs;
}

/** What an operator or another verb may have changed since; everything else the lane knows better. */
export function applyCounted(data: LaneData, lane: LaneView): void {
  data.turnCount = lane.turnCount;
  applySettings(data, lane);
}

export function applyLane(data: LaneData, lane: LaneView): void {
  applyMachine(data, lane);
  // Postgres and the lane stamp the same end some milliseconds apart: that is no change.
  if (data.lastTurnAtMs === null || lane.turnCount !== data.turnCount) data.lastTurnAtMs = lane.lastTurnAtMs;
  applyCounted(data, lane);
}
