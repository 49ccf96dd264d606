/**
 * One turn: the think / act loop of the agent, in a cancellation scope of its own. Where it stands is in Postgres at any time,
 * so a turn may be suspended between two steps and taken up by the lane's next run.
 */
import { CancellationScope } from '@temporalio/workflow';
import type { CallRef, ClosedTurn, LaneSettings, OpenTurn, StopWord, ThinkResult } from '../contracts/activities.js';
import type { ErrorCode } from '../contracts/errors.js';
import { codeOf } from './failures.js';
import type { Ensured, LaneMachine } from './machine.js';
import { untilStored } from './pause.js';
import * as steps from './steps.js';
import type { StoreSteps, TurnClose } from './store-steps.js';

export type TurnEnd =
  | ClosedTurn
  /** Between two steps, because this run's history is long enough. */
  | { readonly kind: 'suspended' }
  /** It could not be opened, or was over before: Postgres has to be asked which one comes first. */
  | { readonly kind: 'not_next' }
  /** This run no longer owns the lane, or it is being cancelled: the turn stays open. */
  | { readonly kind: 'left_open'; readonly code: ErrorCode };

/** Why a running turn is ended from outside. */
export type EndReason = 'cancelled' | 'deadline' | 'destroyed';

export interface RunningTurn {
  readonly turn: OpenTurn;
  readonly step: number;
  /** ms since the epoch; known exactly once the turn is open. */
  readonly deadlineAtMs: number;
  readonly done: Promise<TurnEnd>;
  /** Ends the turn: cancels what runs and at once stops the command. The first reason wins. */
  end(reason: EndReason): void;
}

export interface TurnHost {
  readonly machine: LaneMachine;
  readonly store: StoreSteps;
  stepsMax(): number;
  /** Asked between two steps. */
  mustRollOver(): boolean;
  generation(): number;
  onStep(): void;
  /** The first step has opened the turn. */
  onOpened(settings: LaneSettings): void;
}

type Closing = { readonly outcome: 'failed' | 'cancelled'; readonly code: ErrorCode };

/** Times that one tool call may find its machine asleep or gone before the turn fails. */
const MACHINE_RECOVERIES_MAX = 8;

class TurnFailed extends Error {
  constructor(readonly code: ErrorCode) {
    super(code);
  }
}

const CLOSING: Readonly<Record<EndReason, Closing>> = {
  cancelled: { outcome: 'cancelled', code: 'CANCELLED' },
  deadline: { outcome: 'failed', code: 'TURN_DEADLINE_EXCEEDED' },
  destroyed: { outcome: 'failed', code: 'USER_DESTROYED' },
};

/** With one of these the turn is somebody else's to close: a newer run's, or the run's that follows this cancelled one. */
const LEAVES_OPEN: ReadonlySet<ErrorCode> = new Set(['STALE_LANE', 'STALE_TRY', 'CANCELLED']);

/** Waits for what the lane does outside of this turn's scope, but no longer than the turn lives. */
function unlessCancelled<T>(work: Promise<T>): Promise<T> {
  const scope = CancellationScope.current();
  return scope.cancellable ? Promise.race([work, scope.cancelRequested]) : work;
}

const codeOfEnd = (error: unknown): ErrorCode => (error instanceof TurnFailed ? error.code : codeOf(error));

/** `isOpen: false`: the turn still waits in Postgres, and its first step opens it. */
export function startTurn(turn: OpenTurn & { readonly isOpen?: false }, host: TurnHost): RunningTurn {
  const scope = new CancellationScope();
  let step = turn.step;
  let { deadlineAtMs } = turn;
  let mayOpen = turn.isOpen === false;
  let reason: EndReason | undefined;
  /** What may have a command running on the machine: a tool call, or an earlier lane's that is being settled. */
  let commands: 'none' | 'acting' | 'settling' = 'none';
  let stopping: Promise<ErrorCode | null> | undefined;
  // In one workflow task with the first step: the model's first tokens hide the time that the machine takes.
  let asked = turn.mustClose === null ? host.machine.ensure() : undefined;

  /** The machine was not there for a step: says so to the lane. False: that is not what the step failed with. */
  async function noteMissing(code: ErrorCode, generation: number): Promise<boolean> {
    if (code === 'MACHINE_ASLEEP') host.machine.foundAsleep();
    else if (code === 'MACHINE_LOST') await host.machine.foundLost(generation);
    else return false;
    return true;
  }

  /** The attempt that began with the turn counts where it failed, however early; after that each need is a new attempt. */
  async function ensure(): Promise<Ensured> {
    const first = await asked;
    asked = undefined;
    return first?.ok === false ? first : host.machine.ensure();
  }

  /** Repeats an agent step that needs the machine until the machine is there for it. */
  async function withMachine<T>(work: () => Promise<T>): Promise<T> {
    for (let recoveries = 0; recoveries < MACHINE_RECOVERIES_MAX; recoveries += 1) {
      const ensured = await unlessCancelled(ensure());
      if (!ensured.ok) throw new TurnFailed(LEAVES_OPEN.has(ensured.code) ? ensured.code : 'MACHINE_UNAVAILABLE');
      const generation = host.generation();
      try {
        return await work();
      } catch (error) {
        if (!(await noteMissing(codeOf(error), generation))) throw error;
      }
    }
    throw new TurnFailed('MACHINE_UNAVAILABLE');
  }

  /** Stops whatever was submitted and has no outcome; a machine that is gone or booted anew is proof enough. */
  async function stopCommands(as: StopWord): Promise<void> {
    const generation = host.generation();
    try {
      // The direct way first: it reaches a running command soonest.
      await steps.stopCommand(turn, as);
    } catch (error) {
      if (!(await noteMissing(codeOf(error), generation))) throw error;
      await withMachine(() => steps.stopCommand(turn, as));
    }
  }

  /** As stopCommands; answers with what it failed. Repeats have been made by then: the turn is closed all the same. */
  async function settle(as: StopWord): Promise<ErrorCode | null> {
    try {
      await CancellationScope.nonCancellable(() => stopCommands(as));
      return null;
    } catch (error) {
      return codeOfEnd(error);
    }
  }

  async function actAll(calls: readonly CallRef[]): Promise<void> {
    for (const call of calls) {
      if (call.isSettled) continue;
      commands = 'acting';
      await withMachine(() => steps.act(turn, { step, index: call.index, tool: call.tool }));
      commands = 'none';
    }
  }

  /** An earlier lane's commands, before anything else. */
  async function takeOver(): Promise<void> {
    commands = 'settling';
    await stopCommands(turn.mustClose === 'cancelled' ? 'cancelled' : 'interrupted');
    commands = 'none';
  }

  async function think(): Promise<ThinkResult> {
    const thought = await steps.think(turn, { step, mayOpen });
    if (thought.kind === 'not_next') return thought;
    if (thought.opened !== undefined) {
      deadlineAtMs = thought.opened.deadlineAtMs;
      host.onOpened(thought.opened);
    } else if (mayOpen && thought.kind === 'closed') {
      // It was over before: announced late, or cancelled while it waited.
      return { kind: 'not_next' };
    }
    mayOpen = false;
    return thought;
  }

  async function loop(): Promise<TurnEnd> {
    if (turn.mustSettle) await takeOver();
    if (turn.mustClose !== null) return close(CLOSING[turn.mustClose]);
    let calls = turn.calls;
    for (;;) {
      if (calls === null) {
        const thought = await think();
        if (thought.kind !== 'calls') return thought;
        calls = thought.calls;
      }
      await actAll(calls);
      calls = null;
      step += 1;
      host.onStep();
      if (step >= host.stepsMax()) throw new TurnFailed('TURN_STEPS_EXCEEDED');
      if (host.mustRollOver()) return { kind: 'suspended' };
    }
  }

  function closeTurn(end: TurnClose): Promise<{ readonly isUnsettled?: true }> {
    return untilStored(`turn ${turn.position} · close again after an error`, () => host.store.closeTurn(turn, end));
  }

  async function close(end: Closing): Promise<TurnEnd> {
    await closeTurn(end);
    return { kind: 'closed', ...end };
  }

  /** As `close`, once more stopping what a worker that was late, or has died since, had sent behind the first stop's back. */
  async function closeSettled(end: Closing, as: StopWord): Promise<TurnEnd> {
    const { isUnsettled } = await closeTurn({ ...end, onlySettled: true });
    if (isUnsettled !== true) return { kind: 'closed', ...end };
    const unsettled = await settle(as);
    return unsettled !== null && LEAVES_OPEN.has(unsettled) ? { kind: 'left_open', code: unsettled } : close(end);
  }

  /** Everything that ends a turn otherwise than by its last answer. */
  async function afterFailure(error: unknown): Promise<TurnEnd> {
    const code = codeOfEnd(error);
    // What fails while the run is being cancelled, a killed worker's step for one, is tried again by the run that follows.
    const isLeftOpen = scope.consideredCancelled || LEAVES_OPEN.has(code);
    if (reason === undefined && isLeftOpen) return { kind: 'left_open', code };
    const as = reason === undefined ? 'interrupted' : 'cancelled';
    if (commands === 'acting') stopping ??= settle(as);
    const unsettled = (await stopping) ?? null;
    if (unsettled !== null && LEAVES_OPEN.has(unsettled)) return { kind: 'left_open', code: unsettled };
    const end: Closing = reason === undefined ? { outcome: 'failed', code } : CLOSING[reason];
    return unsettled === null ? closeSettled(end, as) : close(end);
  }

  async function run(): Promise<TurnEnd> {
    try {
      return await scope.run(loop);
    } catch (error) {
      try {
        return await CancellationScope.nonCancellable(() => afterFailure(error));
      } catch (second) {
        // It could not be closed: the lane reads Postgres anew and finds it open, or closed by a newer run.
        return { kind: 'left_open', code: codeOfEnd(second) };
      }
    }
  }

  return {
    turn,
    get step() {
      return step;
    },
    get deadlineAtMs() {
      return deadlineAtMs;
    },
    done: run(),
    end(why) {
      // One that is only being closed is over as soon as its commands are.
      if (reason !== undefined || turn.mustClose !== null) return;
      reason = why;
      if (commands !== 'none') stopping = settle('cancelled');
      scope.cancel();
    },
  };
}
