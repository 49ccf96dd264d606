/**
 * Which deployment a command speaks to: the one of the environment's settings or, where none is set, the one that `innkeeper dev`
 * runs on this machine, found by the file it leaves in its data folder.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { InnkeeperClient } from '../client.js';
import { currentEnvironment, loadClientConfig, type ClientConfig, type Environment } from '../config.js';
import { InnkeeperError } from '../contracts/errors.js';
import { createPool, type Store } from '../store/pool.js';
import { RUN_FILE } from '../dev/paths.js';
import { toClientOptions } from '../worker/connection-options.js';

/** Where `innkeeper dev` keeps its state unless told otherwise. */
export const DATA_DIR_DEFAULT = '.data';

export interface DeploymentOptions {
  /** Data folder of a running `innkeeper dev`. */
  readonly data: string;
}

/** The environment, completed by the running stack of the data folder where no database is set. */
export function deploymentEnvironment(options: DeploymentOptions): Environment {
  const env = currentEnvironment();
  if (env['DATABASE_URL'] || env['DATABASE_URL_FILE']) return env;
  return { ...env, ...readRun(options.data)?.settings };
}

/** @throws InnkeeperError SETTINGS_INVALID */
export function deploymentConfig(options: DeploymentOptions): ClientConfig {
  try {
    return loadClientConfig(deploymentEnvironment(options));
  } catch (error) {
    if (!InnkeeperError.is(error) || readRun(options.data) !== undefined) throw error;
    throw new InnkeeperError(error.code, `${error.message}\n${nothingRuns(options)}`, { cause: error });
  }
}

/** What to say beside missing settings where no local stack gives them. */
export function nothingRuns({ data }: DeploymentOptions): string {
  return `No \`innkeeper dev\` runs on the data in ${data} either: type npm start, or name its folder with --data.`;
}

/** Opens a client for the time of `work`. */
export async function withClient<T>(config: ClientConfig, work: (client: InnkeeperClient) => Promise<T>): Promise<T> {
  const { createClient } = await import('../client.js');
  const client = createClient(toClientOptions({ ...config, database: { ...config.database, poolMax: 2 } }));
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

/** Opens the store for the time of `work`. */
export async function withStore<T>(config: ClientConfig, work: (store: Store) => Promise<T>): Promise<T> {
  const store = createPool({ url: config.database.url, poolMax: 2, applicationName: 'innkeeper-cli' });
  try {
    return await work(store);
  } finally {
    await store.end();
  }
}

/** What a running stack of this folder left; undefined where none runs. */
export function readRun(dataDir: string): { temporalUiUrl: string; settings: Record<string, string> } | undefined {
  try {
    return JSON.parse(readFileSync(join(dataDir, RUN_FILE), 'utf8')) as ReturnType<typeof readRun>;
  } catch {
    return undefined; // Nothing runs from this folder: the settings have to say it all, or their problems are reported.
  }
}
