/** Repeats what may fail because a server is away on purpose. */
import { setTimeout as delay } from 'node:timers/promises';

const SURELY_MS_MAX = 60_000;
const PAUSE_MS = 100;
/** Many wait at once: each look costs a question or two. */
const POLL_MS = 100;

/** @throws what the last try threw, after a minute of tries; at once where `isFinal` says that repeating is of no use */
export async function surely<T>(
  attempt: () => Promise<T>,
  isFinal: (error: unknown) => boolean = () => false,
): Promise<T> {
  const endsAt = Date.now() + SURELY_MS_MAX;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (isFinal(error) || Date.now() >= endsAt) throw error;
      await delay(PAUSE_MS);
    }
  }
}

/** False where the condition did not come true in time. */
export async function within(timeoutMs: number, condition: () => Promise<boolean>, pollMs = POLL_MS): Promise<boolean> {
  const endsAt = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() >= endsAt) return false;
    await delay(pollMs);
  }
  return true;
}
