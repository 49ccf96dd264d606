/**
 * Drives each machine from phase to phase until it is where it was asked to be, with the adjustable delays, and puts
 * idle machines to sleep. The rules are in phases.ts; the sandboxes and disks in host.ts.
 */
import { randomUUID } from 'node:crypto';
import type { Faults } from '../faults/faults.js';
import type { MachineRecord, Phase } from '../state/records.js';
import type { Settings } from '../state/settings.js';
import type { Store } from '../state/store.js';
import type { MachineHost } from './host.js';
import { desiredNotes, phaseNote } from './notes.js';
import { acceptSleep, acceptWake, nextPhase, withPhase, type PhaseChange } from './phases.js';

/** What other parts hear about machines. */
export interface MachineListener {
  /** After every committed change of a machine. */
  onChanged?(machine: MachineRecord): void;
  /** Running and, after the configured delay, routable. */
  onUsable?(machine: MachineRecord): void;
  /** Its processes are about to end (`cold`) or to be frozen (`warm`). */
  onStopping?(machine: MachineRecord, mode: 'cold' | 'warm'): void;
  /** It will never be usable again. */
  onEnded?(machine: MachineRecord): void;
}

interface Drive {
  /** Ends the delay that is being waited for. */
  interrupt: () => void;
}

export class Lifecycle {
  #listeners: MachineListener[] = [];
  #drives = new Map<string, Drive>();
  #running = new Set<Promise<void>>();
  #lastActivityMs = new Map<string, number>();
  #alarms = new Map<string, () => void>();
  #usableAtWallMs = new Map<string, number>();
  #isClosing = false;
  /** Says whether something attached keeps a machine awake; set by the terminals. */
  isHeldAwake: (machineId: string) => boolean = () => false;

  constructor(
    private readonly store: Store,
    private readonly host: MachineHost,
    private readonly faults: Faults,
    private readonly settings: () => Settings,
    private readonly onError: (machineId: string, error: unknown) => void,
  ) {
    host.onLost = (machineId) => this.#lost(machineId);
  }

  listen(listener: MachineListener): () => void {
    this.#listeners.push(listener);
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== listener);
    };
  }

  /** Continues every machine found on disk; those that were awake get a new boot, as after the loss of their host. */
  resumeAll(): void {
    for (const machine of this.store.machines.values()) {
      if (machine.phase === 'running') this.#start(machine.id, () => this.#reboot(machine.id, 'host restarted'));
      else this.poke(machine.id);
    }
  }

  /** A request changed the record: tell the others and carry on. */
  changed(machine: MachineRecord): void {
    this.#notify(machine);
    if (machine.phase === 'destroying') this.#drives.get(machine.id)?.interrupt();
    this.poke(machine.id);
  }

  poke(machineId: string): void {
    if (!this.#drives.has(machineId)) this.#start(machineId, () => Promise.resolve());
  }

  /** Activity that postpones autosleep. */
  touch(machineId: string): void {
    this.#lastActivityMs.set(machineId, this.store.clock.now());
  }

  isUsable(machine: MachineRecord): boolean {
    const at = this.#usableAtWallMs.get(machine.id);
    return (
      machine.phase === 'running' && at !== undefined && at <= Date.now() && this.host.sandbox(machine.id) !== undefined
    );
  }

  /** Wakes a sleeping machine because something was asked of it. Returns the record as it is now. */
  implicitWake(machine: MachineRecord, cause: string): MachineRecord {
    this.touch(machine.id);
    if (machine.desiredState !== 'sleeping' || machine.phase === 'failed') return machine;
    const woken = acceptWake(machine, this.store.clock.nowIso(), null);
    this.commitDesired(woken, cause);
    return woken;
  }

  /** Commits a record whose desired state or size changed, outside of an API mutation. */
  commitDesired(machine: MachineRecord, cause: string): void {
    this.store.commit({ machine }, ...desiredNotes(this.#get(machine.id), machine, cause));
    this.changed(machine);
  }

  /** Loses the machine: it fails and keeps its disk. */
  async crash(machineId: string): Promise<void> {
    const machine = this.#get(machineId);
    if (!machine || machine.phase === 'destroyed') return;
    this.#enter(machine, 'failed', { reason: 'RuntimeWakeFailed', lastError: 'host lost the machine' });
    await this.host.halt(machineId);
  }

  /**
   * A new boot without any phase being left, as when a host restarts its machines; asleep, only `betweenBoots` runs.
   * @returns false while the machine is in transition
   */
  async rebootNow(machineId: string, cause: string, betweenBoots?: () => Promise<void>): Promise<boolean> {
    if (this.#drives.has(machineId)) return false;
    await new Promise<void>((resolve) => {
      this.#start(machineId, () => this.#reboot(machineId, cause, betweenBoots).finally(resolve));
    });
    return true;
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    for (const cancel of this.#alarms.values()) cancel();
    for (const drive of this.#drives.values()) drive.interrupt();
    await Promise.all(this.#running);
  }

  #get(machineId: string): MachineRecord | undefined {
    return this.store.machines.get(machineId);
  }

  #notify(machine: MachineRecord): void {
    for (const listener of this.#listeners) listener.onChanged?.(machine);
  }

  #start(machineId: string, first: () => Promise<void>): void {
    if (this.#isClosing || this.#drives.has(machineId)) return;
    const drive: Drive = { interrupt: () => undefined };
    this.#drives.set(machineId, drive);
    const work = first()
      .then(() => this.#drive(machineId, drive))
      .catch((error: unknown) => this.onError(machineId, error))
      .finally(() => {
        this.#running.delete(work);
        if (this.#drives.get(machineId) === drive) this.#drives.delete(machineId);
      });
    this.#running.add(work);
  }

  async #drive(machineId: string, drive: Drive): Promise<void> {
    let worked: Phase | null = null;
    while (!this.#isClosing) {
      const machine = this.#get(machineId);
      if (!machine || nextPhase(machine) === null) break;
      if (worked !== machine.phase) {
        worked = machine.phase;
        const failure = await this.#workIn(machine, drive);
        const current = this.#get(machineId);
        if (this.#isClosing || !current || current.phase !== worked) continue;
        if (failure !== undefined) this.#enter(current, 'failed', { reason: 'RuntimeWakeFailed', lastError: failure });
        const next = failure === undefined ? nextPhase(current) : null;
        if (next !== null) this.#enter(current, next);
        worked = null;
      } else {
        const next = nextPhase(machine);
        if (next !== null) this.#enter(machine, next);
        worked = null;
      }
    }
    // Released before the last look, so that a change arriving meanwhile starts a drive of its own.
    this.#drives.delete(machineId);
    const machine = this.#get(machineId);
    if (machine && nextPhase(machine) !== null) this.poke(machineId);
  }

  /** Does what a phase is for and waits its delay. @returns why the machine failed, if it did */
  async #workIn(machine: MachineRecord, drive: Drive): Promise<string | undefined> {
    const { createMs, wakeMs, sleepMs, destroyMs } = this.settings();
    const isFirstBoot = machine.bootId === null;
    switch (machine.phase) {
      case 'accepted':
        await this.#pause(createMs * 0.1, drive);
        return undefined;
      case 'placement_pending':
        await this.#pause(createMs * 0.1, drive);
        return undefined;
      case 'starting': {
        const [failure] = await Promise.all([
          this.#bootFor(machine),
          this.#pause(isFirstBoot ? createMs * 0.8 : wakeMs, drive),
        ]);
        return failure;
      }
      case 'stopping':
        await Promise.all([this.#putToSleep(machine), this.#pause(sleepMs, drive)]);
        return undefined;
      case 'destroying':
        for (const listener of this.#listeners) listener.onEnded?.(machine);
        await Promise.all([this.host.destroy(machine.id), this.#pause(destroyMs, drive)]);
        return undefined;
      default:
        return undefined;
    }
  }

  async #pause(ms: number, drive: Drive): Promise<void> {
    if (ms <= 0 || this.#isClosing) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      drive.interrupt = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    drive.interrupt = () => undefined;
  }

  async #bootFor(machine: MachineRecord): Promise<string | undefined> {
    const fault = this.faults.take('runtime-wake-failed', { machineId: machine.id, route: 'machines.wake' });
    if (fault) return fault.message ?? 'runtime did not come up on the host';
    try {
      if (machine.rebootPending) {
        for (const listener of this.#listeners) listener.onStopping?.(machine, 'cold');
        await this.host.halt(machine.id);
        if (machine.rebootPending === 'graceful') await this.host.snapshot(machine.id);
        else if (this.host.hasSnapshot(machine.id)) await this.host.restoreSnapshot(machine.id);
      } else if (machine.isFrozen && this.host.thaw(machine.id)) {
        this.store.note({ kind: 'machine.boot', machineId: machine.id, bootId: machine.bootId, isWarm: true });
        return undefined;
      }
      await this.#coldBoot(machine.id, 'started');
      return undefined;
    } catch (error) {
      this.onError(machine.id, error);
      return error instanceof Error ? error.message : String(error);
    }
  }

  async #coldBoot(machineId: string, cause: string): Promise<void> {
    const machine = this.#get(machineId);
    if (!machine) return;
    await this.host.halt(machineId);
    const bootId = randomUUID();
    await this.host.boot({ machine, bootId, network: this.settings().guestNetwork });
    const current = this.#get(machineId);
    if (!current || current.desiredState === 'destroyed' || current.phase === 'failed') {
      // Lost or deleted while it booted.
      return this.host.halt(machineId);
    }
    const change = { machine: { ...current, bootId, isFrozen: false } };
    this.store.commit(change, { kind: 'machine.boot', machineId, bootId, isWarm: false, cause });
  }

  async #putToSleep(machine: MachineRecord): Promise<void> {
    const { sleepMode, sleepSnapshots } = this.settings();
    for (const listener of this.#listeners) listener.onStopping?.(machine, sleepMode);
    if (sleepMode === 'warm') {
      this.host.freeze(machine.id);
      this.store.commit({ machine: { ...(this.#get(machine.id) ?? machine), isFrozen: true } });
      return;
    }
    await this.host.halt(machine.id);
    await this.host.wipeBoot(machine.id);
    if (sleepSnapshots) await this.host.snapshot(machine.id);
  }

  async #reboot(machineId: string, cause: string, betweenBoots?: () => Promise<void>): Promise<void> {
    const machine = this.#get(machineId);
    if (!machine) return;
    for (const listener of this.#listeners) listener.onStopping?.(machine, 'cold');
    await this.host.halt(machineId);
    await betweenBoots?.();
    if (machine.phase !== 'running' || this.#isClosing) return;
    try {
      await this.#coldBoot(machineId, cause);
      this.#becomeUsable(machineId);
    } catch (error) {
      this.onError(machineId, error);
      const current = this.#get(machineId);
      if (current?.phase === 'running') this.#enter(current, 'failed', { lastError: String(error) });
    }
  }

  #enter(machine: MachineRecord, phase: Phase, change: PhaseChange = {}): void {
    const settled = phase === 'running' ? { ...machine, rebootPending: null } : machine;
    const moved = withPhase(settled, phase, this.store.clock.nowIso(), change);
    const { id: machineId, revision } = moved;
    const forgotten = phase === 'destroyed' ? { forgottenMachine: machineId } : {};
    this.store.commit(
      { machine: moved, ...forgotten },
      phaseNote(machine, moved),
      ...(phase === 'destroyed' ? [{ kind: 'machine.destroyed', machineId, revision }] : []),
    );
    if (phase === 'running') this.#becomeUsable(machineId);
    if (phase === 'failed' || phase === 'destroyed') {
      for (const listener of this.#listeners) listener.onEnded?.(moved);
    }
    this.#notify(moved);
  }

  #becomeUsable(machineId: string): void {
    const { routableMs } = this.settings();
    this.#usableAtWallMs.set(machineId, Date.now() + routableMs);
    this.touch(machineId);
    this.#armAutosleep(machineId);
    const announce = (): void => {
      const machine = this.#get(machineId);
      if (this.#isClosing || !machine || !this.isUsable(machine)) return;
      for (const listener of this.#listeners) listener.onUsable?.(machine);
    };
    if (routableMs > 0) setTimeout(announce, routableMs + 1).unref();
    else announce();
  }

  /** One alarm per awake machine; activity only moves the figure that the alarm looks at when it rings. */
  #armAutosleep(machineId: string): void {
    this.#alarms.get(machineId)?.();
    this.#alarms.delete(machineId);
    const machine = this.#get(machineId);
    if (!machine || machine.phase !== 'running' || machine.autosleepSeconds === 0) return;
    if (this.isHeldAwake(machineId)) this.touch(machineId);
    const deadlineMs = (this.#lastActivityMs.get(machineId) ?? 0) + machine.autosleepSeconds * 1_000;
    if (deadlineMs <= this.store.clock.now()) {
      if (machine.desiredState === 'running') {
        this.commitDesired(acceptSleep(machine, this.store.clock.nowIso()), 'autosleep');
      }
      return;
    }
    this.#alarms.set(
      machineId,
      this.store.clock.schedule(deadlineMs, () => this.#armAutosleep(machineId)),
    );
  }

  /** The idle time of a running machine was changed. */
  rearmAutosleep(machineId: string): void {
    this.#armAutosleep(machineId);
  }

  #lost(machineId: string): void {
    const machine = this.#get(machineId);
    if (this.#isClosing || machine?.phase !== 'running') return;
    this.#start(machineId, () => this.#reboot(machineId, 'guest crashed'));
  }
}
