/** The machine's phase: a mark for a glance, and the word. */
import type { LanePhase } from '../../src/contracts/lane-state.js';

const WORDS: Readonly<Record<LanePhase, string>> = {
  none: 'no machine yet',
  provisioning: 'being made',
  bootstrapping: 'being set up',
  ready: 'awake',
  sleeping: 'falling asleep',
  asleep: 'asleep',
  waking: 'waking',
  failed: 'failed',
  destroying: 'being destroyed',
  destroyed: 'destroyed',
};

export const phaseWord = (phase: LanePhase): string => WORDS[phase] ?? phase;

export function Phase({ phase }: { readonly phase: LanePhase }) {
  return (
    <span class="phase" data-phase={phase}>
      {phaseWord(phase)}
    </span>
  );
}
