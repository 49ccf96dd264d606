/**
 * Touches machines whose provider would put them to sleep by itself while an agent step runs (APIs without an autosleep
 * setting). Background processes do not count as activity there, a no-op execution does.
 */
import type { MachineProvider } from '../machines/provider.js';
import type { ActivityLog } from './context.js';

export interface KeepAwake {
  /** Touches the machine every so often while `work` runs. No machine, or a provider with autosleep: does nothing. */
  during<T>(machineId: string | undefined, work: () => Promise<T>): Promise<T>;
}

export function createKeepAwake(options: {
  machines: MachineProvider;
  intervalMs: number;
  newKey: () => string;
  log: ActivityLog;
}): KeepAwake {
  async function touch(machineId: string): Promise<void> {
    try {
      await options.machines.execute(
        machineId,
        { argv: ['/bin/true'], timeoutMs: options.intervalMs },
        { idempotencyKey: options.newKey() },
      );
    } catch (error) {
      // The step itself finds out what is wrong with the machine.
      options.log.warn({ error, machineId }, 'touching a machine failed');
    }
  }

  return {
    async during(machineId, work) {
      if (machineId === undefined || options.machines.takesAutosleep) return work();
      const timer = setInterval(() => void touch(machineId), options.intervalMs);
      try {
        return await work();
      } finally {
        clearInterval(timer);
      }
    },
  };
}
