/**
 * The adapter to the Dedalus Machines API, all generations of it. It turns the port's calls into requests and their answers into
 * the port's types and codes; what to retry and when to wake is decided elsewhere.
 *
 * Autosleep (`takesAutosleep`): true or false by setting; with 'auto' it is learned from any machine body, or asked for by
 * `settle()`, which changes nothing at the provider. A request body is never altered behind its stored key: `create` sends
 * `autosleep` exactly when the request holds `autosleepSeconds` (unless the setting is false). So ask `settle()`, read
 * `takesAutosleep`, store the request with its key, then create. Where the API refuses the field after all, `create` throws
 * PROVIDER_REFUSED, `takesAutosleep` is false from then on, and the next request, without it, needs a new key.
 */
import type { MachineProvider } from '../provider.js';
import { createCapabilities } from './capabilities.js';
import { createExecute } from './executions.js';
import { createMachineRoutes } from './machines.js';
import { createOpenTerminal } from './terminals.js';
import { createTransport, type AdapterLog } from './transport.js';

export interface DedalusProviderOptions {
  /** Of the machines API alone; the environment is not read. */
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly organizationId?: string | undefined;
  readonly takesAutosleep: boolean | 'auto';
  /** Send the revision as If-Match whenever there is one. */
  readonly sendIfMatch: boolean;
  /** What to speak on a terminal's socket until its first frame shows what the server speaks. */
  readonly terminalProtocol: 'auto' | 'D' | 'J';
  /** For one HTTP request or one WebSocket upgrade. */
  readonly requestTimeoutMs: number;
  readonly fetch?: typeof fetch | undefined;
  readonly log?: AdapterLog | undefined;
  /** A new compact UUIDv7, for the few requests whose repetition is harmless and whose key is therefore not stored. */
  newKey(): string;
}

export function createDedalusProvider(options: DedalusProviderOptions): MachineProvider {
  const { newKey } = options;
  const transport = createTransport(options);
  const capabilities = createCapabilities({ transport, takesAutosleep: options.takesAutosleep, newKey });
  const machines = createMachineRoutes({
    transport,
    capabilities,
    sendIfMatch: options.sendIfMatch,
    newKey,
    log: options.log,
  });
  const execute = createExecute({ transport, find: machines.find });
  const openTerminal = createOpenTerminal({
    transport,
    capabilities,
    find: machines.find,
    protocol: options.terminalProtocol,
    requestTimeoutMs: options.requestTimeoutMs,
    newKey,
  });
  return {
    hasTerminals: () => capabilities.hasTerminals,
    get takesAutosleep() {
      return capabilities.takesAutosleep;
    },
    settle: (signal) => capabilities.settle(signal),
    ...machines,
    execute,
    openTerminal,
  };
}
