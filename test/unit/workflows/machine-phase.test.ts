/** The lifecycle table: each phase has its move, and every way of moves ends at `ready`. */
import { describe, expect, it } from 'vitest';
import { LANE_PHASES, type LanePhase } from '../../../src/contracts/lane-state.js';
import {
  ensureMove,
  isUnfinished,
  mayBeAwake,
  phaseDuring,
  type EnsureMove,
} from '../../../src/workflows/machine-phase.js';

/** Phase after a move that went well. */
const AFTER: Readonly<Record<Exclude<EnsureMove, 'none' | 'refuse'>, LanePhase>> = {
  provision: 'bootstrapping',
  bootstrap: 'ready',
  wake: 'ready',
  finish_sleep: 'asleep',
};

describe('the table of phases', () => {
  it.each(LANE_PHASES)('leads from %s to ready, or refuses', (phase) => {
    let now: LanePhase = phase;
    for (let moves = 0; moves < 4; moves += 1) {
      const move = ensureMove(now);
      if (move === 'refuse') return expect(phase).toBe('destroying');
      if (move === 'none') return expect(now).toBe('ready');
      now = AFTER[move];
    }
    return expect.unreachable('it never gets there');
  });

  it('shows a phase in -ing during every move, and no other otherwise', () => {
    for (const phase of LANE_PHASES) {
      const move = ensureMove(phase);
      const during = phaseDuring(move, phase);
      if (move === 'none' || move === 'refuse') expect(during).toBe(phase);
      else expect(during).toMatch(/ing$/);
    }
  });

  it('goes on with the same move from the phase that the move shows', () => {
    for (const phase of LANE_PHASES) expect(ensureMove(phaseDuring(ensureMove(phase), phase))).toBe(ensureMove(phase));
  });

  it('lets idle time count where the machine may cost money, and nowhere else', () => {
    expect(LANE_PHASES.filter(mayBeAwake)).toEqual(['bootstrapping', 'ready', 'sleeping', 'waking']);
  });

  it('finishes what was begun towards ready', () => {
    expect(LANE_PHASES.filter(isUnfinished)).toEqual(['provisioning', 'bootstrapping', 'waking']);
  });
});
