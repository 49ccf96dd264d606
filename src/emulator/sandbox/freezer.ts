/**
 * Freezing a whole sandbox for a warm sleep: the cgroup v2 freezer where we may make groups (root), else SIGSTOP sent
 * by process 1 to all others. cgroup v1's freezer is not used: frozen tasks there cannot be killed, and would outlive
 * an emulator that was killed with -9.
 */
import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sandbox } from './sandbox.js';

const GROUP_PREFIX = 'innkeeper-emulator-';

export interface Freezer {
  readonly kind: 'cgroup2' | 'signals';
  /** Must be called before anything but process 1 runs in the sandbox. */
  enroll(sandbox: Sandbox): void;
  freeze(sandbox: Sandbox): void;
  thaw(sandbox: Sandbox): void;
  forget(sandbox: Sandbox): void;
  close(): void;
}

const bySignals: Freezer = {
  kind: 'signals',
  enroll: () => undefined,
  freeze: (sandbox) => sandbox.signalAll('STOP'),
  thaw: (sandbox) => sandbox.signalAll('CONT'),
  forget: () => undefined,
  close: () => undefined,
};

export function createFreezer(): Freezer {
  const group = makeGroup();
  if (group === undefined) return bySignals;
  const enrolled = new WeakSet<Sandbox>();
  const groupOf = (sandbox: Sandbox): string => join(group, `m${sandbox.initPid}`);
  const set = (sandbox: Sandbox, isFrozen: boolean): void => {
    if (enrolled.has(sandbox)) writeFileSync(join(groupOf(sandbox), 'cgroup.freeze'), isFrozen ? '1' : '0');
    else if (isFrozen) bySignals.freeze(sandbox);
    else bySignals.thaw(sandbox);
  };
  return {
    kind: 'cgroup2',
    enroll: (sandbox) => {
      try {
        mkdirSync(groupOf(sandbox), { recursive: true });
        writeFileSync(join(groupOf(sandbox), 'cgroup.procs'), String(sandbox.initPid));
        enrolled.add(sandbox);
      } catch {
        // The group was refused or removed under us: this sandbox is frozen by signals.
      }
    },
    freeze: (sandbox) => set(sandbox, true),
    thaw: (sandbox) => set(sandbox, false),
    forget: (sandbox) => removeQuietly(groupOf(sandbox)),
    close: () => removeQuietly(group),
  };
}

function makeGroup(): string | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const root = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified'].find((dir) => existsSync(join(dir, 'cgroup.procs')));
  if (root === undefined || !existsSync(join(root, 'cgroup.controllers'))) return undefined;
  try {
    removeStaleGroups(root);
    const group = join(root, `${GROUP_PREFIX}${process.pid}`);
    mkdirSync(group, { recursive: true });
    if (existsSync(join(group, 'cgroup.freeze'))) return group;
    removeQuietly(group);
  } catch {
    // Read-only or delegated elsewhere (containers): signals do the work.
  }
  return undefined;
}

/** Groups of emulators that were killed with -9. */
function removeStaleGroups(root: string): void {
  for (const name of readdirSync(root)) {
    if (!name.startsWith(GROUP_PREFIX) || existsSync(`/proc/${name.slice(GROUP_PREFIX.length)}`)) continue;
    const dir = join(root, name);
    for (const child of readdirSync(dir, { withFileTypes: true })) {
      if (child.isDirectory()) removeQuietly(join(dir, child.name));
    }
    removeQuietly(dir);
  }
}

function removeQuietly(dir: string): void {
  try {
    rmdirSync(dir);
  } catch {
    // Missing, or its last process is still being reaped: the next start removes it.
  }
}
