/** The time of day for what shows ages and countdowns; it stands still while nobody looks. */
import { signal, type ReadonlySignal } from '@preact/signals';

const TICK_MS = 1_000;
const time = signal(Date.now());

/** ms since the epoch, to a second. */
export const now: ReadonlySignal<number> = time;

setInterval(() => {
  if (document.visibilityState === 'visible') time.value = Date.now();
}, TICK_MS);
