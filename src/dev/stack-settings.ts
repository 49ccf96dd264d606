/** What dev decides before it starts anything: against what it runs, on which ports, and with which settings. */
import { settingsEnvironment, loadConfig, type Config, type Environment } from '../config.js';
import { LOOPBACK, assertPortFree, pickFreePorts } from './ports.js';

export interface StackPorts {
  readonly temporal: number;
  readonly temporalUi: number;
  readonly postgres: number;
  readonly emulator: number;
  readonly gateway: number;
}

/** Temporal's are its own defaults; Postgres keeps away from one that runs already on 5432. */
export const FIXED_PORTS: StackPorts = {
  temporal: 7233,
  temporalUi: 8233,
  postgres: 54_329,
  emulator: 7_400,
  gateway: 7_480,
};

const PURPOSES: Readonly<Record<keyof StackPorts, string>> = {
  temporal: 'Temporal',
  temporalUi: "Temporal's UI",
  postgres: 'Postgres',
  emulator: 'the emulator of the machines API',
  gateway: 'the HTTP gateway and its page',
};

/** @throws InnkeeperError PORT_IN_USE for a fixed port that is taken */
export async function choosePorts(mode: 'fixed' | 'auto', options: { usesEmulator: boolean }): Promise<StackPorts> {
  if (mode === 'auto') {
    const [temporal = 0, temporalUi = 0, postgres = 0, emulator = 0, gateway = 0] = await pickFreePorts(5);
    return { temporal, temporalUi, postgres, emulator, gateway };
  }
  for (const name of Object.keys(PURPOSES) as (keyof StackPorts)[]) {
    if (name !== 'emulator' || options.usesEmulator) await assertPortFree(FIXED_PORTS[name], PURPOSES[name]);
  }
  return FIXED_PORTS;
}

/** The cloud is chosen by its address; a key alone is not a wish to use it. */
export function usesEmulator(env: Environment): boolean {
  return (env['DEDALUS_MACHINES_BASE_URL'] ?? '') === '';
}

/** What only a running stack knows. */
export interface StackAddresses {
  readonly databaseUrl: string;
  readonly temporalAddress: string;
  /** undefined: the cloud. */
  readonly emulator: { readonly url: string; readonly apiKey: string; readonly modelUrl: string } | undefined;
}

/** Settings that dev makes itself; they override the caller's. */
export function localSettings(env: Environment, addresses: StackAddresses): Record<string, string> {
  const { emulator } = addresses;
  // A model of one's own, a local one too, goes with the emulator as well.
  const hasOwnModel = [env['MODEL_BASE_URL'], env['MODEL_API_KEY'], env['MODEL_API_KEY_FILE']].some(Boolean);
  return {
    TEMPORAL_ADDRESS: addresses.temporalAddress,
    TEMPORAL_NAMESPACE: 'default',
    DATABASE_URL: addresses.databaseUrl,
    ...(emulator === undefined ? {} : { DEDALUS_MACHINES_BASE_URL: emulator.url, DEDALUS_API_KEY: emulator.apiKey }),
    // Nobody else has machines there.
    ...(emulator === undefined || env['PROVIDER_ACCOUNT'] ? {} : { PROVIDER_ACCOUNT: 'dedicated' }),
    ...(emulator === undefined || hasOwnModel
      ? {}
      : { MODEL_BASE_URL: emulator.modelUrl, MODEL_API_KEY: emulator.apiKey, MODEL_NAME: 'emulator/shell' }),
  };
}

/** All settings of the worker: the caller's, except those that would point dev's own parts elsewhere, and the local ones. */
export function workerSettings(env: Environment, local: Readonly<Record<string, string>>): Record<string, string> {
  const own = Object.entries(settingsEnvironment(env)).filter(([name]) => {
    const replaced = name.endsWith('_FILE') && name.replace(/_FILE$/, '') in local;
    return !replaced && !/^TEMPORAL_(API_KEY|TLS)/.test(name);
  });
  return { ...Object.fromEntries(own), ...local };
}

/** What the gateway gets besides: on this computer alone, whatever the caller's settings say. */
export function gatewaySettings(of: { readonly port: number; readonly temporalUiUrl: string }): Record<string, string> {
  return { GATEWAY_HOST: LOOPBACK, GATEWAY_PORT: String(of.port), TEMPORAL_UI_URL: of.temporalUiUrl };
}

/** Checks the settings with stand-ins for what is not known yet, so that a mistake is told before anything starts. @throws SETTINGS_INVALID */
export function checkSettings(env: Environment): Config {
  const standIn = { url: `http://${LOOPBACK}`, apiKey: 'not known yet', modelUrl: `http://${LOOPBACK}` };
  const local = localSettings(env, {
    databaseUrl: `postgres://${LOOPBACK}/innkeeper`,
    temporalAddress: `${LOOPBACK}:1`,
    emulator: usesEmulator(env) ? standIn : undefined,
  });
  return loadConfig(workerSettings(env, local));
}
