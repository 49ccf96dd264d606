/**
 * One turn: the think / act loop of the agent, in a cancellation scope of its own. Where it stands is in Postgres at any time,
 * so a turn may be suspended between two steps and taken up by the lane's next run.
 */
import { CancellationScope, isCancellation } from '@temporalio/workflow';
import type { CallRef, OpenTurn, TurnOutcome } from '../contracts/activities.js';
import type { ErrorCode } from '../contracts/errors.js';
import { codeOf } from './failures.js';
import type { LaneMachine } from './machine.js';
import * as steps from './steps.js';

export type TurnEnd =
  | { readonly kind: 'closed'; readonly outcome: TurnOutcome; readonly code: ErrorCode | null }
  /** Between two steps, because this run's history is long enough. */
  | { readonly kind: 'suspended' }
  /** This run no longer owns the lane, or it is being cancelled: the turn stays open. */
  | { readonly kind: 'left_open'; readonly code: ErrorCode };

/** Why a running turn is ended from outside. */
export type EndReason = 'cancelled' | 'deadline' | 'destroyed';

export interface RunningTurn {
  readonly turn: OpenTurn;
  readonly step: number;
  readonly done: Promise<TurnEnd>;
  /** Ends the turn: cancels what runs and at once stops the command. The first reason wins. */
  end(reason: EndReason): void;
}

export interface TurnHost {
  readonly machine: LaneMachine;
  readonly stepsMax: number;
  /** Asked between two steps. */
  mustRollOver(): boolean;
  generation(): number;
  onStep(): void;
}

/** Times that one tool call may find its machine asleep or gone before the turn fails. */
const MACHINE_RECOVERIES_MAX = 8;

class TurnFailed extends Error {
  constructor(readonly code: ErrorCode) {
    super(code);
  }
}

const CLOSING: Readonly<Record<EndReason, { outcome: 'failed' | 'cancelled'; code: ErrorCode }>> = {
  cancelled: { outcome: 'cancelled', code: 'CANCELLED' },
  deadline: { outcome: 'failed', code: 'TURN_DEADLINE_EXCEEDED' },
  destroyed: { outcome: 'failed', code: 'USER_DESTROYED' },
};

/** Waits for what the lane does outside of this turn's scope, but no longer than the turn lives. */
function unlessCancelled<T>(work: Promise<T>): Promise<T> {
  const scope = CancellationScope.current();
  return scope.cancellable ? Promise.race([work, scope.cancelRequested]) : work;
}

export function startTurn(turn: OpenTurn, host: TurnHost): RunningTurn {
  const scope = new CancellationScope();
  let step = turn.step;
  let reason: EndReason | undefined;
  let isActing = false;
  let stopping: Promise<void> | undefined;

  /** Repeats an agent step that needs the machine until the machine is there for it. */
  async function withMachine<T>(work: () => Promise<T>): Promise<T> {
    for (let recoveries = 0; recoveries < MACHINE_RECOVERIES_MAX; recoveries += 1) {
      const ensured = await unlessCancelled(host.machine.ensure());
      if (!ensured.ok) throw new TurnFailed(ensured.code === 'STALE_LANE' ? 'STALE_LANE' : 'MACHINE_UNAVAILABLE');
      const generation = host.generation();
      try {
        return await work();
      } catch (error) {
        const code = isCancellation(error) ? undefined : codeOf(error);
        if (code === 'MACHINE_ASLEEP') host.machine.foundAsleep();
        else if (code === 'MACHINE_LOST') await host.machine.foundLost(generation);
        else throw error;
      }
    }
    throw new TurnFailed('MACHINE_UNAVAILABLE');
  }

  /** Stops whatever was submitted and has no outcome; a machine that is gone or booted anew is proof enough. */
  async function settleCommands(as: 'cancelled' | 'interrupted'): Promise<void> {
    try {
      // The direct way first: it reaches a running command soonest.
      await steps.stopCommand(turn, as);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'MACHINE_LOST') await host.machine.foundLost(host.generation());
      else if (code === 'MACHINE_ASLEEP') host.machine.foundAsleep();
      else throw error;
      await withMachine(() => steps.stopCommand(turn, as));
    }
  }

  async function actAll(calls: readonly CallRef[]): Promise<void> {
    for (const call of calls) {
      if (call.isSettled) continue;
      isActing = true;
      await withMachine(() => steps.act(turn, { step, index: call.index, tool: call.tool }));
      isActing = false;
    }
  }

  async function loop(): Promise<TurnEnd> {
    if (turn.mustSettle) await settleCommands(turn.mustClose === 'cancelled' ? 'cancelled' : 'interrupted');
    if (turn.mustClose !== null) return close(CLOSING[turn.mustClose]);
    let calls = turn.calls;
    for (;;) {
      if (calls === null) {
        const thought = await steps.think(turn, step);
        if (thought.kind === 'closed') return { kind: 'closed', outcome: thought.outcome, code: thought.code };
        calls = thought.calls;
      }
      await actAll(calls);
      calls = null;
      step += 1;
      host.onStep();
      if (step >= host.stepsMax) throw new TurnFailed('TURN_STEPS_EXCEEDED');
      if (host.mustRollOver()) return { kind: 'suspended' };
    }
  }

  async function close(end: { outcome: 'failed' | 'cancelled'; code: ErrorCode }): Promise<TurnEnd> {
    await steps.closeTurn(turn, end);
    return { kind: 'closed', ...end };
  }

  /** Everything that ends a turn otherwise than by its last answer. */
  async function afterFailure(error: unknown): Promise<TurnEnd> {
    const code = error instanceof TurnFailed ? error.code : codeOf(error);
    if (reason !== undefined) {
      await stopping;
      return close(CLOSING[reason]);
    }
    if (isCancellation(error)) return { kind: 'left_open', code: 'CANCELLED' };
    if (code === 'STALE_LANE' || code === 'STALE_TRY') return { kind: 'left_open', code };
    if (isActing) await settleCommands('interrupted');
    return close({ outcome: 'failed', code });
  }

  async function run(): Promise<TurnEnd> {
    try {
      return await scope.run(loop);
    } catch (error) {
      try {
        return await CancellationScope.nonCancellable(() => afterFailure(error));
      } catch (second) {
        // Closing failed for good: only fencing does that, and the newer run closes it.
        return { kind: 'left_open', code: second instanceof TurnFailed ? second.code : codeOf(second) };
      }
    }
  }

  return {
    turn,
    get step() {
      return step;
    },
    done: run(),
    end(why) {
      if (reason !== undefined) return;
      reason = why;
      if (isActing) {
        stopping = CancellationScope.nonCancellable(() => settleCommands('cancelled'));
        // Read by whoever closes the turn; marked as handled until then.
        stopping.catch(() => undefined);
      }
      scope.cancel();
    },
  };
}
