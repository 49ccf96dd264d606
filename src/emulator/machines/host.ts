/** The host's side of machines: their sandboxes and their disks. It does what the lifecycle asks and decides nothing. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BOOTS_AT_ONCE_MAX, GUEST_UID_COUNT, GUEST_UID_FIRST, SNAPSHOT_KIB_MAX } from '../constants.js';
import { createFreezer, type Freezer } from '../sandbox/freezer.js';
import type { Guardian } from '../sandbox/guardian.js';
import { writeGuestFiles } from '../sandbox/guest-files.js';
import type { DataLayout, MachinePaths } from '../sandbox/layout.js';
import { Sandbox } from '../sandbox/sandbox.js';
import type { MachineRecord } from '../state/records.js';

export interface BootRequest {
  machine: MachineRecord;
  bootId: string;
  network: boolean;
}

export class MachineHost {
  readonly freezer: Freezer = createFreezer();
  /** Told when a sandbox died although nobody halted it. */
  onLost: (machineId: string) => void = () => undefined;
  /** Whether homes that are given up are kept aside. */
  keepsLostHomes: () => boolean = () => false;
  #sandboxes = new Map<string, Sandbox>();
  #bootsRunning = 0;
  #bootsWaiting: (() => void)[] = [];

  constructor(
    readonly layout: DataLayout,
    private readonly guardian: Guardian,
  ) {}

  static readonly isRoot = process.getuid?.() === 0;

  /** Guests have a uid each when the emulator is root; otherwise all share the emulator's own. */
  static guestUid(index: number): number | null {
    return MachineHost.isRoot ? GUEST_UID_FIRST + (index % GUEST_UID_COUNT) : null;
  }

  paths(machineId: string): MachinePaths {
    return this.layout.machine(machineId);
  }

  sandbox(machineId: string): Sandbox | undefined {
    return this.#sandboxes.get(machineId);
  }

  /** A cold boot: nothing of the previous boot is left but the home. */
  async boot({ machine, bootId, network }: BootRequest): Promise<void> {
    await this.#takeBootSlot();
    try {
      const paths = this.paths(machine.id);
      const uid = machine.guestUid ?? undefined;
      await removeTree(paths.boot);
      const hostname = `machine-${machine.id.slice(-6)}`;
      writeGuestFiles({ bootDir: paths.boot, homeDir: paths.home, hostname, bootId, network, uid });
      const request = { layout: this.layout, bootDir: paths.boot, homeDir: paths.home, hostname, network };
      const sandbox = await Sandbox.boot(request, uid, this.guardian);
      this.freezer.enroll(sandbox);
      this.#sandboxes.set(machine.id, sandbox);
      void sandbox.exited.then(() => {
        this.freezer.forget(sandbox);
        if (this.#sandboxes.get(machine.id) !== sandbox) return;
        this.#sandboxes.delete(machine.id);
        this.onLost(machine.id);
      });
    } finally {
      this.#bootsRunning -= 1;
      this.#bootsWaiting.shift()?.();
    }
  }

  freeze(machineId: string): void {
    const sandbox = this.#sandboxes.get(machineId);
    if (sandbox) this.freezer.freeze(sandbox);
  }

  /** @returns false when there is no memory to thaw, so that a cold boot is due */
  thaw(machineId: string): boolean {
    const sandbox = this.#sandboxes.get(machineId);
    if (!sandbox || sandbox.isGone) return false;
    this.freezer.thaw(sandbox);
    return true;
  }

  /** Ends every process of the machine; its disk stays. */
  async halt(machineId: string): Promise<void> {
    const sandbox = this.#sandboxes.get(machineId);
    if (!sandbox) return;
    this.#sandboxes.delete(machineId);
    if (!sandbox.isGone) this.freezer.thaw(sandbox);
    await sandbox.kill();
  }

  /** What a cold sleep takes away. */
  async wipeBoot(machineId: string): Promise<void> {
    await removeTree(this.paths(machineId).boot);
  }

  /** Copies the home, so that it can be rolled back; homes above the limit are not copied. */
  async snapshot(machineId: string): Promise<void> {
    const { home, snapshot } = this.paths(machineId);
    const script =
      'rm -rf "$2" "$2.new" && [ "$(du -sk "$1" | cut -f1)" -le "$3" ] && cp -a --reflink=auto "$1" "$2.new" && mv "$2.new" "$2"';
    await run('sh', ['-c', script, 'sh', home, snapshot, String(SNAPSHOT_KIB_MAX)]);
  }

  hasSnapshot(machineId: string): boolean {
    return existsSync(this.paths(machineId).snapshot);
  }

  /** The home changes at once: an emulator that is killed while it copies leaves no half of one. */
  async restoreSnapshot(machineId: string): Promise<void> {
    const { home, snapshot } = this.paths(machineId);
    await run('sh', ['-c', 'rm -rf "$1.new" && cp -a --reflink=auto "$2" "$1.new"', 'sh', home, snapshot]);
    await this.#setAside(machineId);
    await removeTree(home);
    await rename(`${home}.new`, home);
  }

  async destroy(machineId: string): Promise<void> {
    await this.halt(machineId);
    await this.#setAside(machineId);
    await removeTree(this.paths(machineId).root);
  }

  /** Homes that the machine had before, oldest first. */
  lostHomes(machineId: string): string[] {
    const { lost } = this.paths(machineId);
    return existsSync(lost)
      ? readdirSync(lost)
          .sort()
          .map((name) => join(lost, name))
      : [];
  }

  async #setAside(machineId: string): Promise<void> {
    const { home, lost } = this.paths(machineId);
    if (!this.keepsLostHomes() || !existsSync(home)) return;
    await mkdir(lost, { recursive: true });
    await rename(home, join(lost, String(this.lostHomes(machineId).length).padStart(4, '0')));
  }

  async prepareOutputs(machineId: string): Promise<void> {
    await mkdir(this.paths(machineId).outputs, { recursive: true });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sandboxes.keys()].map((id) => this.halt(id)));
    this.freezer.close();
    await this.guardian.close();
  }

  async #takeBootSlot(): Promise<void> {
    while (this.#bootsRunning >= BOOTS_AT_ONCE_MAX)
      await new Promise<void>((resolve) => this.#bootsWaiting.push(resolve));
    this.#bootsRunning += 1;
  }
}

async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch {
    // A guest of an unprivileged emulator may have left folders that their owner cannot enter.
    await run('sh', ['-c', 'chmod -R u+rwX "$1"; rm -rf "$1"', 'sh', path]);
  }
}

function run(file: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: 'ignore', env: { PATH: '/usr/bin:/bin' } });
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });
}
