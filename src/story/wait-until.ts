/** Waits for something that only an outside record can tell. */
import { setTimeout as delay } from 'node:timers/promises';

const WAIT_MS_MAX = 60_000;
const POLL_MS = 50;

/**
 * Asks again and again until the answer is neither undefined nor false.
 * @throws Error that names `what` after 60 s
 */
export async function waitUntil<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<T> {
  const endsAt = Date.now() + WAIT_MS_MAX;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > endsAt) throw new Error(`Waited ${WAIT_MS_MAX / 1_000} s in vain: ${what}.`);
    await delay(POLL_MS);
  }
}
