/**
 * Touches machines whose provider would put them to sleep by itself while agent steps run (APIs without an autosleep setting).
 * Background processes do not count as activity there, a no-op execution does.
 */
import type { MachineProvider } from '../machines/provider.js';
import type { ActivityLog } from './context.js';
import { toLogged } from './failure.js';

export interface KeepAwake {
  /**
   * Touches the machine every so often while `work` runs, and on from one work to the next of the same lane. `target` names the
   * machine each time: undefined where it is not awake, since a touch would wake it.
   */
  during<T>(
    workflowId: string,
    target: () => Promise<string | undefined> | string | undefined,
    work: () => Promise<T>,
  ): Promise<T>;
}

export function createKeepAwake(options: {
  machines: MachineProvider;
  intervalMs: number;
  newKey: () => string;
  log: ActivityLog;
}): KeepAwake {
  const { machines, intervalMs, newKey } = options;
  /** performance.now() of each lane's last touch, or of its first work since; the oldest first. */
  const touchedAtMs = new Map<string, number>();

  function note(workflowId: string): number {
    const nowMs = performance.now();
    touchedAtMs.delete(workflowId);
    touchedAtMs.set(workflowId, nowMs);
    for (const [lane, atMs] of touchedAtMs) {
      if (atMs > nowMs - 2 * intervalMs) break;
      touchedAtMs.delete(lane); // Its machine is left alone by now.
    }
    return nowMs;
  }

  async function touch(target: () => Promise<string | undefined> | string | undefined, signal: AbortSignal) {
    await machines.settle(signal);
    const machineId = machines.takesAutosleep ? undefined : await target();
    if (machineId === undefined || signal.aborted) return;
    const request = { argv: ['/bin/true'], timeoutMs: intervalMs };
    await machines.execute(machineId, request, { idempotencyKey: newKey(), signal });
  }

  return {
    async during(workflowId, target, work) {
      const ended = new AbortController();
      let timer: NodeJS.Timeout | undefined;
      const plan = (delayMs: number): void => {
        timer = setTimeout(() => {
          note(workflowId);
          touch(target, ended.signal)
            .catch((error: unknown) => {
              // The step itself finds out what is wrong with the machine.
              if (!ended.signal.aborted) options.log.warn({ err: toLogged(error) }, 'touching a machine failed');
            })
            .finally(() => {
              if (!ended.signal.aborted) plan(intervalMs);
            });
        }, delayMs);
      };
      const lastMs = touchedAtMs.get(workflowId) ?? note(workflowId);
      plan(Math.max(0, lastMs + intervalMs - performance.now()));
      try {
        return await work();
      } finally {
        clearTimeout(timer);
        ended.abort(new DOMException('the step is over', 'AbortError'));
      }
    },
  };
}
