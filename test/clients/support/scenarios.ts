/**
 * Official clients at a gateway, as programs of their own: those in test/clients/scenarios, with the packages and the Node of this repository
 * or, where `npm run test:newest` says so, with the newest.
 */
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../../src/dev/paths.js';
import { TURN_MS } from '../../e2e/support/actions.js';
import { runProgram } from '../../support/run-program.js';

/** Folder with the newest packages, the scenarios beside them, and a Node that runs them. */
const NEWEST = process.env['NEWEST_CLIENTS'];

export interface At {
  readonly url: string;
  readonly key: string;
  /** Begins the ids of the scenarios' users. */
  readonly user: string;
}

/** Plays scenarios side by side. Answers what each saw, by its name. @throws Error with what the program said where it fails */
export async function play<S>(client: string, names: readonly string[], at: At): Promise<Readonly<Record<string, S>>> {
  const folder = NEWEST ?? join(PROJECT_ROOT, 'test', 'clients', 'scenarios');
  const node = NEWEST === undefined ? process.execPath : join(NEWEST, 'bin', 'node');
  const env = { INNKEEPER_URL: at.url, INNKEEPER_KEY: at.key, INNKEEPER_USER: at.user };
  const program = await runProgram(node, [join(folder, `${client}.mjs`), ...names], { env, timeoutMs: TURN_MS });
  if (program.code !== 0) throw new Error(`${client} ${names.join(' ')}: ${program.stdout}${program.stderr}`);
  return JSON.parse(program.stdout) as Record<string, S>;
}
