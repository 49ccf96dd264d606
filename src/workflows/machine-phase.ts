/** The machine's lifecycle as a table (pure): which activity moves it towards `ready` from each phase. */
import type { LanePhase } from '../contracts/lane-state.js';

/** What brings the machine nearer to `ready`; `none`: it is there; `refuse`: it never will be. */
export type EnsureMove = 'provision' | 'bootstrap' | 'wake' | 'finish_sleep' | 'none' | 'refuse';

const TOWARDS_READY: Readonly<Record<LanePhase, EnsureMove>> = {
  none: 'provision',
  provisioning: 'provision',
  // A machine that failed for good is buried and replaced by the next generation.
  failed: 'provision',
  destroyed: 'provision',
  bootstrapping: 'bootstrap',
  // A sleep that was begun is finished first, so that the revision moves and a late call of a dead worker is refused.
  sleeping: 'finish_sleep',
  asleep: 'wake',
  waking: 'wake',
  ready: 'none',
  destroying: 'refuse',
};

export function ensureMove(phase: LanePhase): EnsureMove {
  return TOWARDS_READY[phase];
}

/** The phase that a move shows while it is under way. */
export function phaseDuring(move: EnsureMove, phase: LanePhase): LanePhase {
  switch (move) {
    case 'provision':
      return 'provisioning';
    case 'bootstrap':
      return 'bootstrapping';
    case 'wake':
      return 'waking';
    case 'finish_sleep':
      return 'sleeping';
    case 'none':
    case 'refuse':
      return phase;
  }
}

/** Phases in which the machine may be awake and cost money, so that idle time counts. */
export function mayBeAwake(phase: LanePhase): boolean {
  return phase === 'ready' || phase === 'bootstrapping' || phase === 'waking' || phase === 'sleeping';
}

/** A move that an earlier run began and that somebody has to finish. */
export function isUnfinished(phase: LanePhase): boolean {
  return phase === 'provisioning' || phase === 'bootstrapping' || phase === 'waking';
}
