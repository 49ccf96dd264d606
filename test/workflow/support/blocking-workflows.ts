/** Workflows that show what becomes of code that does not yield. */
import { condition, defineSignal, setHandler, sleep } from '@temporalio/workflow';

export const poke = defineSignal<[rounds: number]>('poke');
/** Of the timers that only `blocks` starts. */
export const TIMER_SECONDS = 123_456;

/** Where it is poked it blocks its thread for so many rounds, having left something to do for later. */
export async function blocks(): Promise<void> {
  setHandler(poke, (rounds) => {
    void Promise.resolve().then(() => sleep(TIMER_SECONDS * 1_000));
    for (let round = 0; round < rounds; round += 1) 'x'.repeat(1024 * 1024).includes('y');
  });
  await condition(() => false);
}

/** Does nothing, whatever it hears. */
export async function idles(): Promise<void> {
  setHandler(poke, () => undefined);
  await condition(() => false);
}
