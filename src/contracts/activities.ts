/**
 * The activities of a lane, one interface per group. Inputs and results are references, counts and codes; text stays in
 * Postgres. No input names a user or a machine: both follow from the workflow id that the activity runs under.
 */
import type { ErrorCode } from './errors.js';
import type { MachineView } from './lane-state.js';

/** Names one turn: `turnKey` is its row in Postgres, `position` its place in the user's order. */
export interface TurnRef {
  readonly turnKey: string;
  readonly position: number;
}

/** One tool call of a step. */
export interface CallRef {
  readonly index: number;
  readonly tool: string;
  /** Already has an outcome: nothing to do. */
  readonly isSettled: boolean;
}

export interface OpenTurn extends TurnRef {
  readonly turnId: string;
  /** The step to go on with. */
  readonly step: number;
  /** The step's tool calls where the model has answered it already. */
  readonly calls: readonly CallRef[] | null;
  /** ms since the epoch. */
  readonly deadlineAtMs: number;
  /** Commands of an earlier lane may still run: settle them before anything else. */
  readonly mustSettle: boolean;
  /** The turn was cancelled, or is past its deadline: close it, do not go on. */
  readonly mustClose: 'cancelled' | 'deadline' | null;
}

/** What a deployment, or the user's own row, sets for the lane; read anew whenever a turn is opened. */
export interface LaneSettings {
  readonly idleMs: number;
  readonly stepsMax: number;
  /** Wall time of one turn. */
  readonly wallMs: number;
}

export interface LaneView extends MachineView, LaneSettings {
  readonly userState: 'active' | 'destroying' | 'destroyed' | 'unknown';
  readonly turnCount: number;
  /** ms since the epoch; null before the first turn ended. */
  readonly lastTurnAtMs: number | null;
}

export interface OpenNextTurnInput {
  /** True at a run's first contact, and after STALE_LANE: makes this run the user's lane. */
  readonly isContact: boolean;
}
export interface OpenNextTurnResult {
  readonly lane: LaneView;
  readonly turn: OpenTurn | null;
}

/** A message that a lane received and that could not be taken. */
export interface RejectedMessage {
  readonly signal: string;
  readonly code: ErrorCode;
  readonly reason: string;
}

/** Short, Postgres only. */
export interface LaneActivities {
  openNextTurn(input: OpenNextTurnInput): Promise<OpenNextTurnResult>;
  /** Admits a prompt that came inside a signal. A refusal is recorded, not thrown. */
  admitPrompt(input: {
    readonly turnId: string;
    readonly prompt: string;
  }): Promise<{ readonly refused: ErrorCode | null }>;
  /** Stores a cancel that came by signal alone. */
  recordCancel(input: { readonly turnId: string }): Promise<void>;
  recordRejection(input: RejectedMessage): Promise<void>;
}

export type TurnOutcome = 'completed' | 'failed' | 'cancelled';

/** What the model's answer to a step makes of the turn. */
export type StepResult = { readonly kind: 'calls'; readonly calls: readonly CallRef[] } | ClosedTurn;

/** A turn that was opened by its first step. */
export type OpenedTurn = LaneSettings & { readonly deadlineAtMs: number };

export type ThinkResult =
  | (StepResult & { readonly opened?: OpenedTurn })
  /** The turn cannot begin: another one comes first, or the user takes none. Nothing was done. */
  | { readonly kind: 'not_next' };

export interface ClosedTurn {
  readonly kind: 'closed';
  readonly outcome: TurnOutcome;
  readonly code: ErrorCode | null;
  /** No other turn waited when this one was closed; absent: not known. */
  readonly isQueueEmpty?: true;
}

/**
 * What a command that the lane stops ends as: `cancelled` where the turn's own end stops it, `interrupted` where the turn goes on
 * in a later run, or failed.
 */
export type StopWord = 'cancelled' | 'interrupted';
export type CallOutcome = 'exited' | 'signalled' | 'timed_out' | StopWord | 'unknown' | 'invalid';

export type ActResult =
  | { readonly kind: 'settled'; readonly outcome: CallOutcome; readonly exitCode: number | null }
  /** The turn was cancelled or closed meanwhile: nothing was started. */
  | { readonly kind: 'closed' };

export interface StepInput extends TurnRef {
  readonly step: number;
}

export interface TurnActivities {
  /**
   * One model call. The last one closes the turn in the transaction that stores the answer; the first one opens it, where the
   * lane says `mayOpen`, in the transaction that numbers the step.
   */
  think(input: StepInput & { readonly mayOpen?: true }): Promise<ThinkResult>;
  /** One tool call. */
  act(input: StepInput & { readonly index: number }): Promise<ActResult>;
  /** Stops every submitted command of the turn that has no outcome, confirms it, and records `as`. */
  stopCommand(input: TurnRef & { readonly as: StopWord }): Promise<{ readonly stopped: number }>;
  /** For failure and cancellation; the first close wins. */
  closeTurn(
    input: TurnRef & {
      readonly outcome: 'failed' | 'cancelled';
      readonly code: ErrorCode;
      /** Closes nothing while a submitted command has no outcome: a late worker may have sent it since they were stopped. */
      readonly onlySettled?: true;
    },
  ): Promise<{ readonly closed: boolean; readonly isUnsettled?: true }>;
}

/** What the heartbeat of an agent step carries. */
export interface StepHeartbeat {
  readonly phase: string;
  readonly step: number;
  readonly elapsedMs: number;
  readonly outputBytes?: number;
}

export type SleepResult =
  | { readonly kind: 'asleep'; readonly machine: MachineView }
  /** A turn was admitted meanwhile, or a lease is alive: stay awake. */
  | { readonly kind: 'busy'; readonly untilMs: number | null; readonly machine: MachineView }
  /** The provider's route is closed to us: its own autosleep will do it. */
  | { readonly kind: 'left_to_autosleep'; readonly machine: MachineView };

export interface MachineActivities {
  /** Creates the next generation's machine (or finishes a create in flight) and waits until it runs. Buries a failed one first. */
  provisionMachine(): Promise<MachineView>;
  /** Answers phase `ready`. */
  bootstrapMachine(): Promise<MachineView>;
  /** Wakes the machine and gives it again what its boot has lost: answers phase `ready`. */
  wakeMachine(): Promise<MachineView>;
  sleepMachine(): Promise<SleepResult>;
  /** Records that the machine is gone: phase `failed`; the next provision makes the next generation. */
  markMachineLost(input: { readonly generation: number }): Promise<MachineView>;
  /** Settles waiting turns as USER_DESTROYED, deletes the machine, leaves the tombstone. */
  destroyMachine(): Promise<MachineView>;
}
