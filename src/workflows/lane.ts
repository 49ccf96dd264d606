/** One look of the lane at everything it knows: starts what is due, and says when the run may end. Owns every effect. */
import { condition, isCancellation, patched, sleep, workflowInfo } from '@temporalio/workflow';
import type { OpenTurn } from '../contracts/activities.js';
import type { LaneState } from '../contracts/lane-state.js';
import { HISTORY_EVENTS_MAX, HISTORY_EVENTS_MAX_BEFORE } from '../contracts/limits.js';
import { leaveOptions } from './activity-options.js';
import { createAlarm } from './alarm.js';
import type { Bell } from './bell.js';
import { createBoard } from './board.js';
import { codeOf } from './failures.js';
import {
  askToLook,
  hasNoMail,
  hasUnstoredTurns,
  isInboxEmpty,
  refuseAll,
  type AnnouncedTurn,
  type Inbox,
} from './inbox.js';
import { applyCounted, applyLane, applySettings, type LaneData } from './lane-data.js';
import { createLaneMachine } from './machine.js';
import { isUnfinished, mayBeAwake } from './machine-phase.js';
import { createMail } from './mail.js';
import { createPause, MACHINE_PAUSE_MS_MAX, STORE_PAUSE_MS_MAX } from './pause.js';
import { createRest } from './rest.js';
import * as steps from './steps.js';
import { createStoreSteps } from './store-steps.js';
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

/** A cancelled run waits so long for what it has cancelled; later writes are refused anyway. */
const LEAVE_MS_MAX = 60_000;

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

export function createLane({ data, inbox, bell, isCarried }: LaneParts): Lane {
  const alarm = createAlarm(bell);
  const store = createStoreSteps();
  const mail = createMail(inbox, bell, store);
  const board = createBoard(isCarried ? { ...data, lastTurnAt: iso(data.lastTurnAtMs) } : undefined);
  const machine = createLaneMachine(data, bell, {
    onChange: () => board.publish(state()),
    // A turn that runs finds it out by itself.
    onStale: () => (running === undefined ? contactAgain() : undefined),
  });
  const rest = createRest({ data, inbox, bell, alarm, machine });
  /** After errors of looking into Postgres, and after turns that had to be left open. */
  const lookPause = createPause(STORE_PAUSE_MS_MAX);
  const destroyPause = createPause(MACHINE_PAUSE_MS_MAX);
  let running: RunningTurn | undefined;
  let ended: TurnEnd | undefined;
  /** This run has yet to make itself the user's lane in Postgres. */
  let mustContact = true;
  let isDestroying = false;
  board.show(state());

  function state(): LaneState {
    const turn = running?.turn;
    return {
      phase: data.phase,
      generation: data.generation,
      machineId: data.machineId,
      turn: turn === undefined ? null : { turnId: turn.turnId, position: turn.position, step: running?.step ?? 0 },
      turnCount: data.turnCount,
      lastTurnAt: iso(data.lastTurnAtMs),
      idleDueAt: turn === undefined ? iso(rest.sleepDueAtMs()) : null,
      lastErrorCode: data.lastErrorCode,
    };
  }

  /** Another run wrote since: what Postgres says counts. */
  function contactAgain(): void {
    mustContact = true;
    askToLook(inbox);
    lookPause.begin();
  }

  function isHistoryLong(): boolean {
    const { historyLength, continueAsNewSuggested } = workflowInfo();
    if (historyLength >= HISTORY_EVENTS_MAX_BEFORE || continueAsNewSuggested) return true;
    return historyLength >= HISTORY_EVENTS_MAX && patched('shorter-runs-2026-11');
  }

  /** Nothing is outstanding and no note unread; what Postgres holds, and a wish for sleep, are carried over. */
  function mayRollOver(): boolean {
    return !machine.isBusy && !mail.isBusy && isInboxEmpty({ ...inbox, mustLook: false, sleepRequested: false });
  }

  /** Asks Postgres for the next turn and starts it. */
  async function openNext(): Promise<LaneExit> {
    if (Date.now() < lookPause.untilMs) {
      alarm.set(lookPause.untilMs, 'look again after an error');
      return 'stay';
    }
    noteLooked();
    const isContact = mustContact;
    try {
      const { lane, turn } = await store.openNextTurn(isContact);
      if (lane.userState === 'unknown') return gone('USER_UNKNOWN');
      if (lane.userState === 'destroyed') return gone('USER_DESTROYED');
      mustContact = false;
      inbox.wasEnqueued = false;
      if (isContact) applyLane(data, lane);
      else applyCounted(data, lane);
      if (lane.userState === 'destroying') inbox.destroyRequested = true;
      // A user that is being destroyed begins nothing more; destroyMachine settles the turn.
      if (!inbox.destroyRequested) {
        if (turn !== null) start(turn);
        // What an earlier run began is finished, even with no turn in sight: a create in flight must not leak.
        else if (isContact && isUnfinished(data.phase)) void machine.finish();
      }
      if (isContact) board.publish(state());
    } catch (error) {
      if (isCancellation(error)) throw error;
      data.lastErrorCode = codeOf(error);
      if (data.lastErrorCode === 'STALE_LANE') mustContact = true;
      askToLook(inbox);
      lookPause.begin();
      board.publish(state());
    }
    bell.ring();
    return 'stay';
  }

  function noteLooked(): void {
    inbox.mustLook = false;
    inbox.announced = undefined;
  }

  /** A turn that admission announced, to a lane at rest: its first step opens it, which spares the look. */
  function begin({ turnId, turnKey, position }: AnnouncedTurn, wallMs: number): LaneExit {
    noteLooked();
    // Its own limit counts from when the first step opens it; until that answers, from here.
    const deadlineAtMs = Date.now() + wallMs;
    const fresh = { step: 0, calls: null, mustSettle: false, mustClose: null };
    start({ turnId, turnKey, position, deadlineAtMs, ...fresh, isOpen: false });
    alarm.set(deadlineAtMs, 'turn limit or idle check');
    return 'stay';
  }

  function start(turn: OpenTurn & { readonly isOpen?: false }): void {
    const started = startTurn(turn, {
      machine,
      store,
      stepsMax: () => data.stepsMax,
      mustRollOver: isHistoryLong,
      generation: () => data.generation,
      onStep: () => board.show(state()),
      onOpened: (settings) => {
        applySettings(data, settings);
        bell.ring(); // Its deadline is known.
      },
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
    // Announced while it ran: a look had found it first.
    if (inbox.announced !== undefined && inbox.announced.turnKey === running?.turn.turnKey) noteLooked();
    running = undefined;
    data.lastActivityAtMs = Date.now();
    // Whoever closed the turn has looked: where nothing waited then, only a signal since asks for another look.
    if (end.kind !== 'closed' || end.isQueueEmpty !== true) askToLook(inbox);
    if (end.kind === 'not_next') return;
    if (end.kind === 'left_open') {
      data.lastErrorCode = end.code;
      contactAgain();
    } else {
      lookPause.reset();
    }
    if (end.kind === 'closed') {
      if (!inbox.mustLook) inbox.wasEnqueued = false;
      data.turnCount += 1;
      data.lastTurnAtMs = Date.now();
      // MACHINE_UNAVAILABLE only says that there was none: why is what the machine's own activity left here.
      if (end.code !== 'MACHINE_UNAVAILABLE' || data.lastErrorCode === null) {
        data.lastErrorCode = end.outcome === 'failed' ? end.code : null;
      }
    }
    board.publish(state());
  }

  /** Applies what concerns the running turn and the machine. */
  function applyNotes(): void {
    const cancels = [...inbox.cancelsToApply.splice(0), ...inbox.cancelsToStore];
    if (running !== undefined && cancels.includes(running.turn.turnId)) running.end('cancelled');
    // A turn wakes the machine and restarts its idle time.
    if (running !== undefined) inbox.wakeRequested = false;
    if (inbox.lostGenerations.length > 0 && !mustContact && !machine.isBusy) {
      // Any other generation is not the machine's. Where this fails the reconciler says it again.
      if (inbox.lostGenerations.includes(data.generation)) void machine.foundLost(data.generation);
      inbox.lostGenerations = [];
    }
  }

  function destroyUser(): LaneExit {
    // A bell that rings in the task in which the destruction ends: what it came to is taken note of first.
    if (isDestroying) return 'stay';
    running?.end('destroyed');
    machine.stopEnsuring();
    if (running !== undefined || machine.isBusy || mail.isBusy) return 'stay';
    if (Date.now() < destroyPause.untilMs) {
      alarm.set(destroyPause.untilMs, 'destroy again after an error');
      return 'stay';
    }
    isDestroying = true;
    void machine.destroy().then((isDestroyed) => {
      isDestroying = false;
      if (isDestroyed) {
        // The next look finds the user gone, or created anew meanwhile.
        inbox.destroyRequested = false;
        askToLook(inbox);
        mustContact = true;
      } else {
        destroyPause.begin();
      }
      bell.ring();
    });
    return 'stay';
  }

  /** There is no such user: what still came in is refused on record, then the run ends. */
  function gone(code: 'USER_UNKNOWN' | 'USER_DESTROYED'): LaneExit {
    // Asked for while Postgres was read: it may have been created meanwhile.
    const isNewer = inbox.mustLook;
    askToLook(inbox);
    if (isNewer) {
      bell.ring();
      return 'stay';
    }
    refuseAll(inbox, code);
    mail.deliver();
    return mail.isBusy || machine.isBusy || !hasNoMail(inbox) ? 'stay' : 'done';
  }

  async function look(): Promise<LaneExit> {
    if (ended !== undefined) takeEnd(ended);
    mail.deliver();
    if (inbox.destroyRequested && !mustContact) return destroyUser();
    applyNotes();
    if (running !== undefined) {
      if (Date.now() >= running.deadlineAtMs) running.end('deadline');
      else alarm.set(running.deadlineAtMs, 'turn limit or idle check');
      return 'stay';
    }
    // Only the lane's owner may touch the machine or answer a note.
    if (mustContact && (!isInboxEmpty(inbox) || mayBeAwake(data.phase))) askToLook(inbox);
    if (machine.isFallingAsleep || (mail.isBusy && hasUnstoredTurns(inbox))) return 'stay';
    if ((isHistoryLong() || (rest.hasFallenAsleep() && !inbox.mustLook)) && mayRollOver()) {
      board.publish(state());
      return 'roll_over';
    }
    if (inbox.announced !== undefined && data.wallMs !== null) return begin(inbox.announced, data.wallMs);
    if (inbox.mustLook) return openNext();
    rest.look();
    return 'stay';
  }

  async function leave(): Promise<void> {
    mail.deliver();
    const left = running;
    // Best effort: what it cannot reach in time is stopped by the next run before anything else.
    if (left !== undefined) await steps.stopCommand(left.turn, 'interrupted', leaveOptions).catch(() => undefined);
    if (left !== undefined || machine.isBusy) {
      const isOver = Promise.all([left?.done, condition(() => !machine.isBusy)]);
      await Promise.race([isOver, sleep(LEAVE_MS_MAX, { summary: 'limit of leaving' })]);
    }
    await mail.drain();
  }

  return { look, leave, state };
}
