/** One look of the lane at everything it knows: starts what is due, and says when the run may end. Owns every effect. */
import { isCancellation, workflowInfo } from '@temporalio/workflow';
import type { OpenTurn } from '../contracts/activities.js';
import type { LaneState } from '../contracts/lane-state.js';
import { HISTORY_EVENTS_MAX, LANE_RETRY_MS } from '../contracts/limits.js';
import { leaveOptions } from './activity-options.js';
import { createAlarm } from './alarm.js';
import type { Bell } from './bell.js';
import { createBoard } from './board.js';
import { codeOf } from './failures.js';
import { hasNoMail, isInboxEmpty, type Inbox } from './inbox.js';
import { applyLane, type LaneData } from './lane-data.js';
import { createLaneMachine } from './machine.js';
import { isUnfinished, mayBeAwake } from './machine-phase.js';
import { createMail } from './mail.js';
import * as steps from './steps.js';
import { startTurn, type RunningTurn, type TurnEnd } from './turn.js';

/** `done`: the user is gone. `roll_over`: continue as new. `stay`: wait for the bell. */
export type LaneExit = 'done' | 'roll_over' | 'stay';

export interface Lane {
  look(): Promise<LaneExit>;
  /** The run is being cancelled: stop the command, store the mail, leave the turn open. */
  leave(): Promise<void>;
  state(): LaneState;
}

export interface LaneParts {
  readonly data: LaneData;
  readonly inbox: Inbox;
  readonly bell: Bell;
  /** False: this run was started, not continued. */
  readonly isCarried: boolean;
}

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

export function createLane({ data, inbox, bell, isCarried }: LaneParts): Lane {
  const alarm = createAlarm(bell);
  const mail = createMail(inbox, bell);
  const board = createBoard(isCarried ? { ...data, lastTurnAt: iso(data.lastTurnAtMs) } : undefined);
  const machine = createLaneMachine(data, bell, () => board.publish(state()));
  let running: RunningTurn | undefined;
  let ended: TurnEnd | undefined;
  /** This run has yet to make itself the user's lane in Postgres. */
  let mustContact = true;
  let isDestroying = false;
  /** A fresh run is wanted: the machine fell asleep, or a turn was suspended because this history is long. */
  let wantsRollOver = false;
  board.show(state());

  function idleDueAtMs(): number {
    if (inbox.sleepRequested || data.phase === 'sleeping') return 0;
    return data.lastActivityAtMs + data.idleMs;
  }

  function isHistoryLong(): boolean {
    const { historyLength, continueAsNewSuggested } = workflowInfo();
    return historyLength >= HISTORY_EVENTS_MAX || continueAsNewSuggested;
  }

  function state(): LaneState {
    const turn = running?.turn;
    return {
      phase: data.phase,
      generation: data.generation,
      machineId: data.machineId,
      turn: turn === undefined ? null : { turnId: turn.turnId, position: turn.position, step: running?.step ?? 0 },
      turnCount: data.turnCount,
      lastTurnAt: iso(data.lastTurnAtMs),
      idleDueAt: turn === undefined && mayBeAwake(data.phase) ? iso(data.lastActivityAtMs + data.idleMs) : null,
      lastErrorCode: data.lastErrorCode,
    };
  }

  /** Asks Postgres for the next turn and starts it. */
  async function openNext(): Promise<LaneExit> {
    inbox.mustLook = false;
    const isContact = mustContact;
    try {
      const { lane, turn } = await steps.openNextTurn(isContact);
      if (lane.userState === 'unknown') return gone('USER_UNKNOWN');
      if (lane.userState === 'destroyed') return gone('USER_DESTROYED');
      mustContact = false;
      inbox.wasEnqueued = false;
      if (isContact) applyLane(data, lane);
      else data.idleMs = lane.idleMs;
      if (lane.userState === 'destroying') inbox.destroyRequested = true;
      if (turn !== null) start(turn);
      // What an earlier run began is finished, even with no turn in sight: a create in flight must not leak.
      else if (isContact && isUnfinished(data.phase)) void machine.ensure();
      if (isContact) board.publish(state());
      bell.ring();
    } catch (error) {
      if (isCancellation(error)) throw error;
      inbox.mustLook = true;
      data.lastErrorCode = codeOf(error);
      // Another run wrote since: what Postgres says counts.
      if (data.lastErrorCode === 'STALE_LANE') mustContact = true;
      alarm.set(Date.now() + LANE_RETRY_MS, 'look again after an error');
      if (mustContact && !isContact) bell.ring();
    }
    return 'stay';
  }

  function start(turn: OpenTurn): void {
    // Both in one workflow task: the first model call hides the time that the machine takes.
    if (turn.mustClose === null) void machine.ensure();
    const started = startTurn(turn, {
      machine,
      stepsMax: data.stepsMax,
      mustRollOver: isHistoryLong,
      generation: () => data.generation,
      onStep: () => board.show(state()),
    });
    running = started;
    board.show(state());
    void started.done.then((end) => {
      ended = end;
      bell.ring();
    });
  }

  function takeEnd(end: TurnEnd): void {
    ended = undefined;
    running = undefined;
    data.lastActivityAtMs = Date.now();
    inbox.mustLook = true;
    if (end.kind === 'closed') {
      data.turnCount += 1;
      data.lastTurnAtMs = Date.now();
      data.lastErrorCode = end.outcome === 'failed' ? end.code : null;
    } else if (end.kind === 'suspended') {
      wantsRollOver = true;
    } else {
      data.lastErrorCode = end.code;
      // Another run, or another attempt, wrote since: read Postgres anew.
      mustContact = true;
    }
    board.publish(state());
  }

  function applyNotes(): void {
    const cancels = inbox.cancelsToApply.splice(0);
    if (running !== undefined && cancels.includes(running.turn.turnId)) running.end('cancelled');
    if (inbox.lostGeneration > 0) {
      void machine.foundLost(inbox.lostGeneration);
      inbox.lostGeneration = 0;
    }
  }

  async function destroyUser(): Promise<LaneExit> {
    if (!isDestroying) {
      isDestroying = true;
      running?.end('destroyed');
      machine.cancelEnsure();
    }
    if (running !== undefined || machine.isBusy || mail.isBusy) return 'stay';
    if (await machine.destroy()) {
      // The next look finds the user gone, or created anew meanwhile.
      isDestroying = false;
      inbox.destroyRequested = false;
      inbox.mustLook = true;
      mustContact = true;
      bell.ring();
    } else {
      alarm.set(Date.now() + LANE_RETRY_MS, 'destroy again after an error');
    }
    return 'stay';
  }

  /** There is no such user: what still came in is refused on record, then the run ends. */
  function gone(code: 'USER_UNKNOWN' | 'USER_DESTROYED'): LaneExit {
    if (inbox.wasEnqueued) {
      inbox.wasEnqueued = false;
      inbox.rejections.push({ signal: 'enqueueTurn', code, reason: 'The lane found no such user.' });
    }
    mail.deliver();
    if (!mail.isBusy && hasNoMail(inbox)) return 'done';
    // A prompt in the mail may create the user: look again once it is stored.
    inbox.mustLook = true;
    return 'stay';
  }

  /** No turn runs and none waits: wake or sleep as asked, or as idle time says. */
  async function rest(): Promise<void> {
    if (machine.isBusy) return;
    if (inbox.wakeRequested) {
      inbox.wakeRequested = false;
      data.lastActivityAtMs = Date.now();
      void machine.ensure();
    } else if (!mayBeAwake(data.phase)) {
      inbox.sleepRequested = false;
      alarm.clear();
    } else if (Date.now() < idleDueAtMs()) {
      alarm.set(idleDueAtMs(), 'idle check');
    } else {
      inbox.sleepRequested = false;
      const slept = await machine.sleep();
      if (slept === 'asleep') wantsRollOver = true;
      else data.lastActivityAtMs = Date.now();
      // A turn came first: take it.
      if (slept === 'busy') inbox.mustLook = true;
      if (slept === 'stale') mustContact = inbox.mustLook = true;
      bell.ring();
    }
  }

  async function look(): Promise<LaneExit> {
    if (ended !== undefined) takeEnd(ended);
    mail.deliver();
    applyNotes();
    if (mustContact && !isInboxEmpty(inbox)) inbox.mustLook = true;
    if (inbox.destroyRequested && !mustContact) return destroyUser();
    if (running !== undefined) {
      if (Date.now() >= running.turn.deadlineAtMs) running.end('deadline');
      else alarm.set(running.turn.deadlineAtMs, 'turn limit or idle check');
      return 'stay';
    }
    const isLong = isHistoryLong();
    const isOutstanding = machine.isBusy || mail.isBusy || !isInboxEmpty({ ...inbox, mustLook: false });
    if ((isLong || (wantsRollOver && !inbox.mustLook)) && !isOutstanding && !mustContact) return 'roll_over';
    if (inbox.mustLook) return openNext();
    await rest();
    return 'stay';
  }

  async function leave(): Promise<void> {
    const left = running;
    if (left !== undefined) {
      // Best effort here: what it cannot reach in time is stopped by the next run before anything else.
      await steps.stopCommand(left.turn, 'interrupted', leaveOptions).catch(() => undefined);
      await left.done;
    }
    await mail.drain();
  }

  return { look, leave, state };
}
