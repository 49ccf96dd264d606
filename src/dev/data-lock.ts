/** One run at a time on a data folder. A second one is refused; what a killed one left behind is ended first. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InnkeeperError } from '../contracts/errors.js';
import { readChildList } from './child-list.js';
import { endProcesses, type Child } from './end-processes.js';
import { identityOf, isRunning, type ProcessIdentity } from './process-identity.js';

const TRIES_MAX = 5;

export interface DataLock {
  /** Processes of an earlier run that had to be ended. */
  readonly ended: readonly Child[];
  release(): void;
}

/** Where dev keeps the list of its children, by data folder. */
export function childListFile(dataDir: string): string {
  return join(dataDir, 'children.json');
}

/** @throws InnkeeperError DATA_IN_USE while another run holds the folder */
export async function lockData(dataDir: string): Promise<DataLock> {
  // Others may pass through (as root, Postgres is another user) but not look around.
  mkdirSync(dataDir, { recursive: true, mode: 0o711 });
  const file = join(dataDir, 'run.lock');
  const self = JSON.stringify(identityOf(process.pid) ?? { pid: process.pid, startTime: '' });
  for (let tries = 0; !tryWrite(file, self); tries += 1) {
    const holder = readHolder(file);
    if (tries >= TRIES_MAX || (holder !== undefined && isRunning(holder))) {
      throw new InnkeeperError('DATA_IN_USE', `Process ${holder?.pid ?? 'unknown'} runs on the data in ${dataDir}.`);
    }
    moveAside(file);
  }
  const ended = await endProcesses(readChildList(childListFile(dataDir)));
  return { ended, release: () => rmSync(file, { force: true }) };
}

function tryWrite(file: string, text: string): boolean {
  try {
    writeFileSync(file, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function readHolder(file: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessIdentity;
  } catch {
    return undefined; // Released in this moment, or half written by a killed run.
  }
}

/** Of two starts that see the same dead holder, one moves its lock and the other fails to. */
function moveAside(file: string): void {
  const aside = `${file}.${process.pid}`;
  try {
    renameSync(file, aside);
    rmSync(aside);
  } catch {
    // Moved by the other one; the next try meets that one's lock.
  }
}
