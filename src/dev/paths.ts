/** Where things are in a clone. The same from src/ (tests) and from dist/ (everything else): both lie one level below the root. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InnkeeperError } from '../contracts/errors.js';

/** The project's root folder, absolute. */
export const PROJECT_ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** What `npm run build` makes; processes are started from here, by tests too. */
export const DIST_DIR = join(PROJECT_ROOT, 'dist');

/** Folder of downloaded tools; safe to delete, set-up fills it again. */
export const CACHE_DIR = join(PROJECT_ROOT, '.cache');

/** Written into a stack's data folder when all is ready, for commands typed beside it; removed at its end. */
export const RUN_FILE = 'run.json';

/** What set-up found or fetched, as scripts/setup.mjs wrote it. A missing entry was not asked for yet. */
export interface Tools {
  readonly temporal?: string;
  readonly bwrap?: string;
  readonly chromium?: string;
  readonly dockerCompose?: string;
  /** Folder of a Python environment by its name: a dedalus-sdk version, or `temporalio`. */
  readonly python?: Readonly<Record<string, string>>;
}

/** Reads the list of tools. @throws InnkeeperError SETTINGS_INVALID when set-up has not run */
export function readTools(): Tools {
  try {
    return JSON.parse(readFileSync(join(CACHE_DIR, 'tools.json'), 'utf8')) as Tools;
  } catch (cause) {
    throw new InnkeeperError('SETTINGS_INVALID', 'Set-up has not run in this clone: type `npm run setup`.', { cause });
  }
}
