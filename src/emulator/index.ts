/** Composition of the emulator: opens the state, checks the isolation, resumes the machines, serves. */
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import type { EmulatorContext } from './context.js';
import { Executions } from './executions/executions.js';
import { Faults } from './faults/faults.js';
import { MachineHost } from './machines/host.js';
import { Lifecycle } from './machines/lifecycle.js';
import {
  EmulatorStartError,
  PROFILES,
  type EmulatorLog,
  type EmulatorOptions,
  type RunningEmulator,
} from './options.js';
import { serveTerminalStreams } from './routes/terminal-stream.js';
import { Guardian } from './sandbox/guardian.js';
import { prepareLayout } from './sandbox/layout.js';
import { checkIsolation } from './sandbox/self-check.js';
import { buildServer } from './server.js';
import { lockDataDir } from './state/lock.js';
import { loadSettings, type Settings } from './state/settings.js';
import { Store } from './state/store.js';
import { Terminals } from './terminals/terminals.js';
import { PROFILE_RULES } from './wire/profiles.js';

export { EmulatorStartError } from './options.js';
export type { EmulatorOptions, Profile, RunningEmulator } from './options.js';

const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(['127.0.0.1', '::1', 'localhost']);

const BANNER =
  'Dedalus Machines emulator: a development tool, not a security boundary. Guests are sandboxes that share this kernel; never give it to tenants.';

/**
 * Starts an emulator. State found in `dataDir` is resumed: machines that were awake get a new boot.
 * @throws EmulatorStartError with advice when the options are wrong, bubblewrap is missing, the port or the data folder
 * is taken, or the isolation check fails
 */
export async function startEmulator(options: EmulatorOptions): Promise<RunningEmulator> {
  const host = options.host ?? '127.0.0.1';
  checkOptions(options, host);
  const log = options.log ?? stderrLog();
  const layout = prepareLayout(resolve(options.dataDir));
  const unlock = lockDataDir(layout.dataDir);
  const guardian = new Guardian();
  let store: Store | undefined;
  try {
    await checkIsolation(layout, MachineHost.guestUid(0) ?? undefined, guardian);
    const apiKey = options.apiKey ?? persistedKey(layout.dataDir);
    store = new Store(layout.dataDir);
    const context = compose(options, store, new MachineHost(layout, guardian), apiKey, log);
    if (options.guestNetwork !== undefined) {
      const settings = { ...context.settings(), guestNetwork: options.guestNetwork };
      store.commit({ emulator: context.emulatorRecord({ settings }) });
    }
    return await serve(context, options, host, unlock);
  } catch (error) {
    await guardian.close();
    store?.close();
    unlock();
    throw error;
  }
}

function compose(
  options: EmulatorOptions,
  store: Store,
  host: MachineHost,
  apiKey: string,
  log: EmulatorLog,
): EmulatorContext {
  const faults = new Faults();
  faults.onHit = (fault, target) => store.note({ kind: 'fault.hit', fault: fault.kind, faultId: fault.id, ...target });
  const current = settingsOf(store);
  host.keepsLostHomes = () => current().keepsLostHomes;
  const onError = (machineId: string, error: unknown): void => log.error({ machineId, err: error }, 'machine failed');
  const lifecycle = new Lifecycle(store, host, faults, current, onError);
  return {
    profile: options.profile,
    rules: PROFILE_RULES[options.profile],
    apiKey,
    log,
    store,
    host,
    lifecycle,
    faults,
    executions: new Executions(store, host, lifecycle, faults, current),
    terminals: new Terminals(store, host, lifecycle, faults, current),
    settings: current,
    emulatorRecord: (change = {}) => ({
      nextGuestUid: 0,
      orgAutoresizing: true,
      ...store.emulator,
      settings: current(),
      clock: store.clock.snapshot(),
      ...change,
    }),
  };
}

/** Reads the settings out of the store, parsed once for each change. */
function settingsOf(store: Store): () => Settings {
  let parsedFrom: unknown;
  let parsed = loadSettings(undefined);
  return () => {
    const saved = store.emulator?.settings;
    if (saved !== parsedFrom) {
      parsed = loadSettings(saved);
      parsedFrom = saved;
    }
    return parsed;
  };
}

async function serve(
  context: EmulatorContext,
  options: EmulatorOptions,
  host: string,
  unlock: () => void,
): Promise<RunningEmulator> {
  const app = buildServer(context, options.modelScriptFile);
  const endSockets = serveTerminalStreams(app.server, context);
  context.executions.settleAfterRestart();
  context.terminals.settleAfterRestart();
  try {
    await app.listen({ host, port: options.port });
  } catch (error) {
    await app.close();
    throw toStartError(error, host, options.port);
  }
  const { port } = app.server.address() as AddressInfo;
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
  context.store.note({ kind: 'emulator.started', profile: options.profile });
  context.lifecycle.resumeAll();
  context.log.info({ url, profile: options.profile, dataDir: options.dataDir }, BANNER);

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    endSockets();
    await app.close();
    await context.lifecycle.close();
    await context.host.close();
    context.store.note({ kind: 'emulator.stopped' });
    context.store.close();
    unlock();
  };
  return { url, apiKey: context.apiKey, modelUrl: `${url}/v1`, close: () => (closing ??= close()) };
}

function checkOptions(options: EmulatorOptions, host: string): void {
  if (!PROFILES.includes(options.profile)) {
    throw new EmulatorStartError(`Unknown profile "${options.profile}". Choose one of: ${PROFILES.join(', ')}`);
  }
  if (!Number.isInteger(options.port) || options.port < 0 || options.port > 65_535) {
    throw new EmulatorStartError(`The port must be between 0 and 65535, not ${options.port}.`);
  }
  if (!LOOPBACK_HOSTS.has(host) && options.allowRemote !== true) {
    throw new EmulatorStartError(
      `The emulator refuses to listen on ${host}: whoever reaches it gets a shell on this computer. ` +
        'Listen on 127.0.0.1, or allow remote access explicitly.',
    );
  }
  const dataDir = resolve(options.dataDir);
  if (dataDir === '/usr' || dataDir.startsWith('/usr/')) {
    throw new EmulatorStartError(
      `The data folder ${dataDir} is below /usr, which guests can read. Choose another one.`,
    );
  }
}

function persistedKey(dataDir: string): string {
  const path = join(dataDir, 'api-key');
  try {
    const key = readFileSync(path, 'utf8').trim();
    if (key !== '') return key;
  } catch {
    // First start in this folder: a key is made below.
  }
  const key = `dsk-local-${randomBytes(24).toString('hex')}`;
  writeFileSync(path, `${key}\n`, { mode: 0o600 });
  return key;
}

function toStartError(error: unknown, host: string, port: number): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE')
    return new EmulatorStartError(`Port ${port} of ${host} is in use. Choose another one, or 0.`);
  if (code === 'EACCES' || code === 'EADDRNOTAVAIL') {
    return new EmulatorStartError(`Cannot listen on ${host}:${port} (${code}).`, { cause: error });
  }
  return error;
}

function stderrLog(): EmulatorLog {
  const write = (fields: object, message: string): void => {
    process.stderr.write(`${message} ${JSON.stringify(fields)}\n`);
  };
  return { info: write, warn: write, error: write };
}
