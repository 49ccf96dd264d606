/** What a lane knows of itself: the answer of `getState`, and the words for it. */
import type { ErrorCode } from './errors.js';

/** Lifecycle of a user's machine as the lane drives it (docs/operations.md explains each). */
export const LANE_PHASES = [
  'none',
  'provisioning',
  'bootstrapping',
  'ready',
  'sleeping',
  'asleep',
  'waking',
  'failed',
  'destroying',
  'destroyed',
] as const;
export type LanePhase = (typeof LANE_PHASES)[number];

/** The machine as the ledger in Postgres has it. */
export interface MachineView {
  readonly phase: LanePhase;
  /** 0: the user never had a machine. */
  readonly generation: number;
  readonly machineId: string | undefined;
}

export interface LaneState {
  readonly phase: LanePhase;
  readonly generation: number;
  readonly machineId: string | null;
  /** The running turn, null when none. */
  readonly turn: { readonly turnId: string; readonly position: number; readonly step: number } | null;
  readonly turnCount: number;
  /** ISO 8601, null before the first turn. */
  readonly lastTurnAt: string | null;
  /** When the machine will be put to sleep if nothing arrives; null when nothing is due. */
  readonly idleDueAt: string | null;
  readonly lastErrorCode: ErrorCode | null;
}
