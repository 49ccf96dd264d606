/**
 * Directories of the emulator's data folder, and the files every sandbox shares. A machine has `home/` (survives a
 * cold sleep), `boot/` (everything else that a guest may write; made anew at each cold boot) and `snapshot/`.
 */
import { accessSync, chmodSync, constants, copyFileSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface MachinePaths {
  root: string;
  home: string;
  boot: string;
  snapshot: string;
  outputs: string;
  /** Homes that it had before, numbered; not removed with the machine. */
  lost: string;
}

export interface DataLayout {
  dataDir: string;
  initScript: string;
  canary: string;
  machine(machineId: string): MachinePaths;
}

/** Makes the folders that do not exist yet. Guests' uids may pass through, but not list, the upper ones. */
export function prepareLayout(dataDir: string): DataLayout {
  const systemDir = join(dataDir, 'system');
  const machinesDir = join(dataDir, 'machines');
  for (const dir of [dataDir, systemDir, machinesDir]) {
    mkdirSync(dir, { recursive: true });
    chmodSync(dir, 0o711);
  }
  const initScript = join(systemDir, 'init.pl');
  // A copy, because a guest's uid may be unable to reach the program's own folder.
  copyFileSync(new URL('./init.pl', import.meta.url), initScript);
  chmodSync(initScript, 0o644);
  const canary = join(systemDir, 'host-canary');
  writeFileSync(canary, 'guests must never see this file\n', { mode: 0o644 });
  return {
    dataDir,
    initScript,
    canary,
    machine: (machineId) => {
      const folder = machineId.replaceAll(/[^A-Za-z0-9-]/g, '_');
      const root = join(machinesDir, folder);
      return {
        root,
        home: join(root, 'home'),
        boot: join(root, 'boot'),
        snapshot: join(root, 'snapshot'),
        outputs: join(root, 'outputs'),
        lost: join(dataDir, 'lost', folder),
      };
    },
  };
}

/** Whether any user of this host can walk to `path`; if not, a guest's uid needs a private mount of it. */
export function isReachableByAnyUser(path: string): boolean {
  for (let dir = path; ; dir = dirname(dir)) {
    if ((statSync(dir).mode & constants.S_IXOTH) === 0) return false;
    if (dir === dirname(dir)) return true;
  }
}

export function findProgram(name: string): string | undefined {
  for (const dir of ['/usr/bin', '/bin', '/usr/sbin', '/sbin', '/usr/local/bin']) {
    const path = join(dir, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder: the next one is asked.
    }
  }
  return undefined;
}
