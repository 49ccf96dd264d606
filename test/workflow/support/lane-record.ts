/**
 * The record of one lane as Postgres and the machine's provider would hold it, in memory: users, turns, lane numbers, phases.
 * The scripted activities read and write it; tests arrange it, hold activities in mid flight, and let them fail.
 */
import { ApplicationFailure } from '@temporalio/common';
import type {
  CallOutcome,
  LaneActivities,
  MachineActivities,
  RejectedMessage,
  TurnActivities,
  TurnOutcome,
} from '../../../src/contracts/activities.js';
import type { ErrorCode } from '../../../src/contracts/errors.js';
import type { LanePhase, MachineView } from '../../../src/contracts/lane-state.js';
import { OPEN_TURNS_MAX_DEFAULT } from '../../../src/contracts/limits.js';

export type ActivityName = keyof (LaneActivities & TurnActivities & MachineActivities);

export interface CallRecord {
  readonly index: number;
  readonly tool: string;
  isSubmitted: boolean;
  /** Times that the command was started on the machine: never above one. */
  runs: number;
  outcome: CallOutcome | null;
}

export interface TurnRecord {
  readonly turnKey: string;
  readonly turnId: string;
  readonly position: number;
  readonly prompt: string | null;
  /** The tools that the model asks for in each step; past the last one it answers. */
  readonly plan: readonly (readonly string[])[];
  state: 'queued' | 'running' | TurnOutcome;
  code: ErrorCode | null;
  /** Number of the lane that runs it. */
  lane: number | null;
  step: number;
  readonly steps: CallRecord[][];
  deadlineAtMs: number;
  isCancelRequested: boolean;
  /** Ticks of the record; null: it has not begun, or not ended. */
  openedAt: number | null;
  endedAt: number | null;
}

/** One execution of an activity, in order of their start. */
export interface Execution {
  readonly name: ActivityName;
  readonly input: unknown;
  readonly runId: string;
  readonly turnKey: string | undefined;
  isOver: boolean;
  /** Ticks of the record: which of two began or ended first. */
  readonly begunAt: number;
  overAt: number | undefined;
}

/** An activity that a test has stopped in mid flight. */
export interface Gate {
  /** Resolves once the activity is there. */
  readonly reached: Promise<void>;
  release(): void;
}

export interface LaneSettings {
  idleMs: number;
  stepsMax: number;
  wallMs: number;
}

interface HeldGate extends Gate {
  readonly name: ActivityName;
  /** What it ends with however it is let go, as an attempt does whose worker died. */
  readonly failsWith: ErrorCode | undefined;
  arrive(): void;
  readonly released: Promise<void>;
}

const isOpen = (turn: TurnRecord): boolean => turn.state === 'queued' || turn.state === 'running';

export class LaneRecord {
  userState: 'unknown' | 'active' | 'destroying' | 'destroyed' = 'unknown';
  readonly settings: LaneSettings = { idleMs: 3_600_000, stepsMax: 50, wallMs: 1_800_000 };
  lane = 0;
  laneRunId: string | null = null;
  readonly turns: TurnRecord[] = [];
  readonly rejections: RejectedMessage[] = [];
  readonly executions: Execution[] = [];
  /** What must never happen, as it happened. */
  readonly violations: string[] = [];
  phase: LanePhase = 'none';
  generation = 0;
  /** The provider has lost the machine. */
  isMachineGone = false;
  /** The provider put the machine to sleep, and the ledger does not know. */
  isAsleepByItself = false;
  /** The next boot has lost what bootstrap installed. */
  isBootstrapLost = false;
  /** The provider's sleep route is closed to us. */
  isSleepClosed = false;
  leasedUntilMs: number | null = null;
  turnCount = 0;
  lastTurnAtMs: number | null = null;
  private ticks = 0;
  private readonly failures: { name: ActivityName; left: number; make: () => Error }[] = [];
  private readonly gates: HeldGate[] = [];

  /** Time as the record counts it: one for each thing that happens. */
  tick(): number {
    this.ticks += 1;
    return this.ticks;
  }

  get machine(): MachineView {
    const hasMachine = this.generation > 0 && this.phase !== 'provisioning' && this.phase !== 'destroyed';
    return {
      phase: this.phase,
      generation: this.generation,
      machineId: hasMachine ? `machine-${this.generation}` : undefined,
    };
  }

  get openTurns(): TurnRecord[] {
    return this.turns.filter(isOpen);
  }

  /** Admission as the client library does it, before any signal. */
  admit(turnId: string, plan: readonly (readonly string[])[] = [], prompt: string | null = null): TurnRecord {
    if (this.userState === 'unknown') this.userState = 'active';
    const turn: TurnRecord = {
      turnKey: String(1_000 + this.turns.length),
      turnId,
      position: this.turns.length + 1,
      prompt,
      plan,
      state: 'queued',
      code: null,
      lane: null,
      step: 0,
      steps: [],
      deadlineAtMs: 0,
      isCancelRequested: false,
      openedAt: null,
      endedAt: null,
    };
    this.turns.push(turn);
    return turn;
  }

  /** As admission refuses: undefined where it takes the turn. */
  refusalOf(turnId: string, prompt: string): ErrorCode | undefined {
    if (this.userState === 'destroying' || this.userState === 'destroyed') return 'USER_DESTROYED';
    const known = this.find(turnId);
    if (known !== undefined) return known.prompt === prompt ? undefined : 'TURN_ID_REUSED';
    return this.openTurns.length >= OPEN_TURNS_MAX_DEFAULT ? 'QUEUE_FULL' : undefined;
  }

  /** The user as a finished destruction leaves it, created once more. */
  createAgain(): void {
    this.userState = 'active';
    this.phase = 'none';
  }

  /** A cancel as the client library stores it, before any signal. */
  requestCancel(turnId: string): boolean {
    const turn = this.find(turnId);
    if (turn === undefined) return false;
    if (turn.state === 'queued') this.close(turn, 'cancelled', 'CANCELLED');
    else if (turn.state === 'running') turn.isCancelRequested = true;
    return true;
  }

  find(turnId: string): TurnRecord | undefined {
    return this.turns.find((turn) => turn.turnId === turnId);
  }

  turn(turnId: string): TurnRecord {
    const turn = this.find(turnId);
    if (turn === undefined) throw new Error(`no turn ${turnId}`);
    return turn;
  }

  /** The first close wins. */
  close(turn: TurnRecord, outcome: TurnOutcome, code: ErrorCode | null): boolean {
    if (!isOpen(turn)) return false;
    turn.state = outcome;
    turn.code = code;
    turn.endedAt = this.tick();
    this.turnCount += 1;
    this.lastTurnAtMs = Date.now();
    return true;
  }

  /** The next `times` executions of an activity fail with this code; non-retryable unless told otherwise. */
  fail(name: ActivityName, code: ErrorCode, options: { times?: number; isRetryable?: boolean } = {}): void {
    const make = (): Error =>
      ApplicationFailure.create({
        type: code,
        message: `scripted ${code}`,
        nonRetryable: options.isRetryable !== true,
      });
    this.failures.push({ name, left: options.times ?? 1, make });
  }

  /** Ends every scripted failure of an activity. */
  heal(name: ActivityName): void {
    for (const failure of this.failures) if (failure.name === name) failure.left = 0;
  }

  takeFailure(name: ActivityName): Error | undefined {
    const failure = this.failures.find((candidate) => candidate.name === name && candidate.left > 0);
    if (failure === undefined) return undefined;
    failure.left -= 1;
    return failure.make();
  }

  /** The next execution of an activity waits in mid flight. */
  hold(name: ActivityName, { failsWith }: { readonly failsWith?: ErrorCode } = {}): Gate {
    let arrive: () => void = () => undefined;
    let release: () => void = () => undefined;
    const reached = new Promise<void>((resolve) => (arrive = resolve));
    const released = new Promise<void>((resolve) => (release = resolve));
    const gate = { name, failsWith, reached, arrive, release, released };
    this.gates.push(gate);
    return gate;
  }

  /** The gate that the next execution of an activity meets. */
  takeGate(name: ActivityName): HeldGate | undefined {
    const at = this.gates.findIndex((gate) => gate.name === name);
    return at < 0 ? undefined : this.gates.splice(at, 1)[0];
  }

  count(name: ActivityName): number {
    return this.executions.filter((execution) => execution.name === name).length;
  }

  /** Names of the activities executed so far, local ones of the lane itself left out. */
  effects(): ActivityName[] {
    const own: ReadonlySet<ActivityName> = new Set(['openNextTurn', 'admitPrompt', 'recordCancel', 'recordRejection']);
    return this.executions.map(({ name }) => name).filter((name) => !own.has(name));
  }
}
