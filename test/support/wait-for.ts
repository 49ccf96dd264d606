/** Waits for a condition; tests never sleep for a time. */
import { setTimeout as delay } from 'node:timers/promises';

const WAIT_MS_DEFAULT = 60_000;
const POLL_MS = 20;

/** Polls `condition` until it answers something truthy, which it resolves with. Rejects with `what` after `timeoutMs`. */
export async function waitFor<T>(
  what: string,
  condition: () => T | Promise<T>,
  timeoutMs = WAIT_MS_DEFAULT,
): Promise<NonNullable<Exclude<T, false | '' | 0>>> {
  const endsAt = Date.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) return value as NonNullable<Exclude<T, false | '' | 0>>;
    if (Date.now() >= endsAt) throw new Error(`waited in vain: ${what}`);
    await delay(POLL_MS);
  }
}
