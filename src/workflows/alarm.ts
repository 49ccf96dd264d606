/**
 * The lane's one timer, for whatever is due next: idle sleep or the turn's wall limit. Re-armed lazily: while it is set for an
 * earlier time it is left alone, and when it fires too early the loop sets it again for the rest. So a busy lane pays for a
 * timer once in a while and not on every turn.
 */
import { CancellationScope, isCancellation, sleep } from '@temporalio/workflow';
import type { Bell } from './bell.js';

export interface Alarm {
  /** Rings the bell at `dueAtMs` or before it. */
  set(dueAtMs: number, summary: string): void;
  clear(): void;
}

export function createAlarm(bell: Bell): Alarm {
  let armed: { readonly dueAtMs: number; readonly scope: CancellationScope } | undefined;

  async function run(scope: CancellationScope, delayMs: number, summary: string): Promise<void> {
    try {
      await scope.run(() => sleep(delayMs, { summary }));
    } catch (error) {
      if (!isCancellation(error)) throw error;
      return;
    }
    // Cleared and set again in the task in which it fired: the newer one stays.
    if (armed?.scope === scope) armed = undefined;
    bell.ring();
  }

  function clear(): void {
    const { scope } = armed ?? {};
    armed = undefined;
    scope?.cancel();
  }

  return {
    set(dueAtMs, summary) {
      if (armed !== undefined && armed.dueAtMs <= dueAtMs) return;
      clear();
      const scope = new CancellationScope();
      armed = { dueAtMs, scope };
      void run(scope, Math.max(1, dueAtMs - Date.now()), summary);
    },
    clear,
  };
}
