/** The guest over a provider of machines: terminals where there are any, executions where there are none. */
import { InnkeeperError } from '../contracts/errors.js';
import type { MachineProvider } from '../machines/provider.js';
import { DEFAULT_RECIPE, runBootstrap, type BootstrapRecipe } from './bootstrap.js';
import { attachByExecutions } from './execution-attachment.js';
import type { Guest, GuestAttachment } from './guest.js';
import { loadRunner, type RunnerSource } from './runner-source.js';
import { attachByTerminal } from './terminal-attachment.js';

export interface GuestOptions {
  readonly machines: MachineProvider;
  /** A new idempotency key for each request that is not repeated by others. */
  readonly newKey: () => string;
  /** What a machine is given at its first boot, and after each cold one. */
  readonly recipe?: BootstrapRecipe;
  /** Another runner than the one that is shipped: tests break it on purpose. */
  readonly runner?: RunnerSource;
}

/** Reads the runner's text once; nothing is sent before the first call. */
export function createGuest(options: GuestOptions): Guest {
  const { machines, newKey, recipe = DEFAULT_RECIPE } = options;
  const parts = { machines, newKey, runner: options.runner ?? loadRunner() };
  return {
    bootstrap: (machineId, call) => runBootstrap(machines, machineId, { ...call, recipe }),
    async attach(request): Promise<GuestAttachment> {
      request.signal.throwIfAborted();
      if (!machines.hasTerminals()) return attachByExecutions(request, parts);
      try {
        return await attachByTerminal(request, parts);
      } catch (error) {
        if (!isTerminalTrouble(error)) throw error;
        // No terminal, or one whose shell never gets as far as the runner: executions carry the same verbs.
        return attachByExecutions(request, parts);
      }
    },
  };
}

/** True where the machine may be well and only its terminal is not to be had. */
function isTerminalTrouble(error: unknown): boolean {
  if (!InnkeeperError.is(error)) return false;
  return error.code === 'PROVIDER_ROUTE_CLOSED' || error.details?.['isSpeechless'] === true;
}
