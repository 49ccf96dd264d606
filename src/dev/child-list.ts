/**
 * Dev's list of the processes it started, kept in two places besides memory: a file in the data folder, for the next start, and
 * the watchdog's memory, for the moment after a kill -9 of dev.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { killProcesses, type Child } from './end-processes.js';
import { DIST_DIR } from './paths.js';
import { identityOf, isRunning } from './process-identity.js';
import type { OnSpawn } from './process.js';

export interface ChildList {
  readonly add: OnSpawn;
  /** Ends all by force, at once, those that are still starting too. */
  killAll(): void;
  /** Forgets all, and lets the watchdog go. */
  clear(): Promise<void>;
}

/** Opens the list and starts its watchdog. */
export function openChildList(file: string): ChildList {
  mkdirSync(dirname(file), { recursive: true });
  const watchdog = startWatchdog();
  let children: Child[] = [];
  const save = (): void => {
    const text = JSON.stringify(children);
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
    watchdog.stdin?.write(`${text}\n`);
  };
  return {
    add: ({ label, pid }) => {
      const identity = identityOf(pid);
      children = children.filter(isRunning);
      if (identity !== undefined) children.push({ label, ...identity });
      save();
    },
    killAll: () => killProcesses(children),
    clear: async () => {
      children = [];
      save();
      rmSync(file, { force: true });
      if (watchdog.exitCode !== null || watchdog.signalCode !== null) return;
      const gone = new Promise((resolve) => watchdog.once('exit', resolve));
      watchdog.stdin?.end();
      await gone;
    },
  };
}

/** The children that a run which ended without clearing its list left behind; some may have ended since. */
export function readChildList(file: string): Child[] {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Child[];
  } catch {
    return []; // No list: the last run ended in order, or there was none.
  }
}

function startWatchdog(): ChildProcess {
  const script = join(DIST_DIR, 'dev', 'watchdog.js');
  const watchdog = spawn(process.execPath, [script], {
    // A group of its own: a signal to dev's group does not reach it.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: {},
  });
  watchdog.stdin?.on('error', () => undefined); // It was killed: the file still holds the list.
  return watchdog;
}
