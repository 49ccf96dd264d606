/**
 * The adapter to the Dedalus Machines API, all generations of it. It turns the port's calls into requests and their answers into
 * the port's types and codes; what to retry and when to wake is decided elsewhere.
 *
 * Autosleep (`takesAutosleep`): true or false by setting; with 'auto' the API is asked once, by a change of a machine that does
 * not exist, which changes nothing: from g3 on it complains about the one unknown field in it, before about `autosleep` too.
 * `create` asks before its first request, so that the body stored under a key is the same at every try; `settle()` asks earlier.
 */
import type { MachineProvider } from '../provider.js';
import { createCapabilities } from './capabilities.js';
import { createExecute } from './executions.js';
import { spellingsOf } from './machine-body.js';
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
    async settle(signal) {
      await capabilities.settleAutosleep(signal);
    },
    ...machines,
    spellingsOf,
    execute,
    openTerminal,
  };
}
