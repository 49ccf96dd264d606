/**
 * Touches machines whose provider would put them to sleep by itself while an agent step runs (APIs without an autosleep
 * setting). Background processes do not count as activity there, a no-op execution does.
 */
import type { MachineProvider } from '../machines/provider.js';
import type { ActivityLog } from './context.js';
import { toLogged } from './failure.js';

export interface KeepAwake {
  /**
   * Touches the machine every so often while `work` runs. `target` names it each time: undefined where it is not awake, since a
   * touch would wake it.
   */
  during<T>(target: () => Promise<string | undefined> | string | undefined, work: () => Promise<T>): Promise<T>;
}

export function createKeepAwake(options: {
  machines: MachineProvider;
  intervalMs: number;
  newKey: () => string;
  log: ActivityLog;
}): KeepAwake {
  const { machines, intervalMs, newKey } = options;

  async function touch(machineId: string, signal: AbortSignal): Promise<void> {
    const request = { argv: ['/bin/true'], timeoutMs: intervalMs };
    await machines.execute(machineId, request, { idempotencyKey: newKey(), signal });
  }

  return {
    async during(target, work) {
      const ended = new AbortController();
      let isTouching = false;
      const timer = setInterval(() => {
        if (isTouching) return;
        isTouching = true;
        const look = async (): Promise<void> => {
          await machines.settle(ended.signal);
          if (machines.takesAutosleep) return clearInterval(timer);
          const machineId = await target();
          if (machineId !== undefined && !ended.signal.aborted) await touch(machineId, ended.signal);
        };
        look()
          .catch((error: unknown) => {
            // The step itself finds out what is wrong with the machine.
            if (!ended.signal.aborted) options.log.warn({ err: toLogged(error) }, 'touching a machine failed');
          })
          .finally(() => (isTouching = false));
      }, intervalMs);
      try {
        return await work();
      } finally {
        clearInterval(timer);
        ended.abort(new DOMException('the step is over', 'AbortError'));
      }
    },
  };
}
