/** Keeps two emulators from writing one data folder. The lock of a killed emulator is taken over. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EmulatorStartError } from '../options.js';

/** @returns a function that gives the folder back */
export function lockDataDir(dataDir: string): () => void {
  const path = join(dataDir, 'lock');
  const mine = `${process.pid} ${startOf(process.pid)}`;
  const owner = readLock(path);
  if (owner !== undefined && owner !== mine && isAlive(owner)) {
    throw new EmulatorStartError(
      `The data folder ${dataDir} is used by another emulator (process ${owner.split(' ')[0]}).`,
    );
  }
  if (owner === mine) throw new EmulatorStartError(`The data folder ${dataDir} is already used by this process.`);
  writeFileSync(path, mine, { mode: 0o600 });
  return () => rmSync(path, { force: true });
}

function readLock(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim() || undefined;
  } catch {
    // No lock: the folder is free.
    return undefined;
  }
}

/** Process ids are reused; the start time tells two owners of one id apart. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    // The process is gone.
    return '';
  }
}

function isAlive(owner: string): boolean {
  const [pid = '', start = ''] = owner.split(' ');
  return start !== '' && startOf(Number(pid)) === start;
}
