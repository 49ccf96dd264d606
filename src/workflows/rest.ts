/** What the lane does while no turn runs and none waits: wakes the machine as asked, or puts it to sleep when that is due. */
import type { Alarm } from './alarm.js';
import type { Bell } from './bell.js';
import { askToLook, type Inbox } from './inbox.js';
import type { LaneData } from './lane-data.js';
import type { LaneMachine, Slept } from './machine.js';
import { mayBeAwake } from './machine-phase.js';
import { createPause, MACHINE_PAUSE_MS_MAX } from './pause.js';

export interface Rest {
  /** Starts what is due, or sets the alarm for it. */
  look(): void;
  /** When the machine will be asked to sleep if nothing arrives, ms since the epoch; null: it is not awake. */
  sleepDueAtMs(): number | null;
  /** True from a sleep of this run until the machine is wanted again. */
  hasFallenAsleep(): boolean;
}

export function createRest(parts: {
  readonly data: LaneData;
  readonly inbox: Inbox;
  readonly bell: Bell;
  readonly alarm: Alarm;
  readonly machine: LaneMachine;
}): Rest {
  const { data, inbox, bell, alarm, machine } = parts;
  const pause = createPause(MACHINE_PAUSE_MS_MAX);
  let leasedUntilMs = 0;
  let fellAsleep = false;

  function sleepDueAtMs(): number | null {
    if (!mayBeAwake(data.phase)) return null;
    const isWanted = inbox.sleepRequested || data.phase === 'sleeping';
    return Math.max(isWanted ? 0 : data.lastActivityAtMs + data.idleMs, leasedUntilMs, pause.untilMs);
  }

  /** A machine that sleeps as far as the lane knows: whoever asks for sleep all the same may have seen it awake. */
  function wokenDueAtMs(): number | null {
    const isDoubted = inbox.sleepRequested && data.phase === 'asleep';
    return isDoubted ? pause.untilMs : null;
  }

  function wake(): void {
    inbox.wakeRequested = false;
    data.lastActivityAtMs = Date.now();
    void machine.ensure().then((ensured) => {
      // The wish outlives a change of the lane's owner.
      if (!ensured.ok && ensured.code === 'STALE_LANE') inbox.wakeRequested = true;
    });
  }

  function takeSlept(slept: Slept): void {
    if (slept.kind === 'asleep') {
      fellAsleep = true;
      inbox.sleepRequested = false;
      pause.reset();
    } else if (slept.kind === 'failed') {
      pause.begin();
    } else {
      data.lastActivityAtMs = Date.now();
      leasedUntilMs = slept.untilMs ?? 0;
      // A turn came first: take it. It ends the wish for sleep, a lease only delays it.
      if (slept.untilMs === null) {
        inbox.sleepRequested = false;
        askToLook(inbox);
      }
    }
    bell.ring();
  }

  return {
    sleepDueAtMs,
    hasFallenAsleep: () => fellAsleep && data.phase === 'asleep',
    look() {
      if (machine.isBusy) return;
      if (inbox.wakeRequested) wake();
      if (machine.isBusy) return;
      const dueAtMs = sleepDueAtMs() ?? wokenDueAtMs();
      if (dueAtMs === null) {
        inbox.sleepRequested = false;
        alarm.clear();
      } else if (Date.now() < dueAtMs) {
        alarm.set(dueAtMs, 'idle check');
      } else {
        void machine.sleep().then(takeSlept);
      }
    },
  };
}
