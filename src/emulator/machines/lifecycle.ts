/**
 * Drives each machine from phase to phase until it is where it was asked to be, with the adjustable delays, and puts
 * idle machines to sleep. The rules are in phases.ts; the sandboxes and disks in host.ts.
 */
import { randomUUID } from 'node:crypto';
import type { Faults } from '../faults/faults.js';
import type { MachineRecord, Phase } from '../state/records.js';
import type { Settings } from '../state/settings.js';
import type { Store } from '../state/store.js';
import { Autosleep } from './autosleep.js';
import type { MachineHost } from './host.js';
import { MachineListeners } from './listeners.js';
import { desiredNotes, phaseNote } from './notes.js';
import { Pause } from './pause.js';
import { acceptSleep, acceptWake, nextPhase, withPhase, type PhaseChange } from './phases.js';

export class Lifecycle {
  readonly listeners = new MachineListeners();
  #drives = new Map<string, Pause>();
  #running = new Set<Promise<void>>();
  readonly #autosleep: Autosleep;
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
    this.#autosleep = new Autosleep({
      clock: store.clock,
      find: (machineId) => this.#get(machineId),
      isHeldAwake: (machineId) => this.isHeldAwake(machineId),
      sleep: (machine) => this.commitDesired(acceptSleep(machine, store.clock.nowIso()), 'autosleep'),
    });
    host.onLost = (machineId) => this.#lost(machineId);
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
    this.listeners.changed(machine);
    if (machine.phase === 'destroying') this.#drives.get(machine.id)?.interrupt();
    this.poke(machine.id);
  }

  poke(machineId: string): void {
    if (!this.#drives.has(machineId)) this.#start(machineId, () => Promise.resolve());
  }

  /** Activity that postpones autosleep. */
  touch(machineId: string): void {
    this.#autosleep.touch(machineId);
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
    this.#autosleep.stop();
    for (const pause of this.#drives.values()) pause.interrupt();
    await Promise.all(this.#running);
  }

  #get(machineId: string): MachineRecord | undefined {
    return this.store.machines.get(machineId);
  }

  #start(machineId: string, first: () => Promise<void>): void {
    if (this.#isClosing || this.#drives.has(machineId)) return;
    const pause = new Pause();
    this.#drives.set(machineId, pause);
    const work = first()
      .then(() => this.#drive(machineId, pause))
      .catch((error: unknown) => this.onError(machineId, error))
      .finally(() => {
        this.#running.delete(work);
        if (this.#drives.get(machineId) === pause) this.#drives.delete(machineId);
      });
    this.#running.add(work);
  }

  async #drive(machineId: string, pause: Pause): Promise<void> {
    while (!this.#isClosing) {
      const machine = this.#get(machineId);
      if (!machine || nextPhase(machine) === null) break;
      const failure = await this.#workIn(machine, pause);
      const current = this.#get(machineId);
      // Somebody else moved it meanwhile (deleted, lost): what to do next is decided anew.
      if (this.#isClosing || !current || current.phase !== machine.phase) continue;
      const next = nextPhase(current);
      if (failure !== undefined) this.#enter(current, 'failed', { reason: 'RuntimeWakeFailed', lastError: failure });
      else if (next !== null) this.#enter(current, next);
    }
    // Released before the last look, so that a change arriving meanwhile starts a drive of its own.
    this.#drives.delete(machineId);
    const machine = this.#get(machineId);
    if (machine && nextPhase(machine) !== null) this.poke(machineId);
  }

  /** Does what a phase is for and waits its delay. @returns why the machine failed, if it did */
  async #workIn(machine: MachineRecord, pause: Pause): Promise<string | undefined> {
    const { createMs, wakeMs, sleepMs, destroyMs } = this.settings();
    const isFirstBoot = machine.bootId === null;
    switch (machine.phase) {
      case 'accepted':
        await pause.wait(createMs * 0.1);
        return undefined;
      case 'placement_pending':
        await pause.wait(createMs * 0.1);
        return undefined;
      case 'starting': {
        const [failure] = await Promise.all([
          this.#bootFor(machine),
          pause.wait(isFirstBoot ? createMs * 0.8 : wakeMs),
        ]);
        return failure;
      }
      case 'stopping':
        await Promise.all([this.#putToSleep(machine), pause.wait(sleepMs)]);
        return undefined;
      case 'destroying':
        this.listeners.ended(machine);
        await Promise.all([this.host.destroy(machine.id), pause.wait(destroyMs)]);
        return undefined;
      default:
        return undefined;
    }
  }

  async #bootFor(machine: MachineRecord): Promise<string | undefined> {
    const fault = this.faults.take('runtime-wake-failed', { machineId: machine.id, route: 'machines.wake' });
    if (fault) return fault.message ?? 'runtime did not come up on the host';
    try {
      if (machine.rebootPending) {
        this.listeners.stopping(machine, 'cold');
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
    this.listeners.stopping(machine, sleepMode);
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
    this.listeners.stopping(machine, 'cold');
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
      this.listeners.ended(moved);
    }
    this.listeners.changed(moved);
  }

  #becomeUsable(machineId: string): void {
    const { routableMs } = this.settings();
    this.#usableAtWallMs.set(machineId, Date.now() + routableMs);
    this.touch(machineId);
    this.#autosleep.arm(machineId);
    const announce = (): void => {
      const machine = this.#get(machineId);
      if (this.#isClosing || !machine || !this.isUsable(machine)) return;
      this.listeners.usable(machine);
    };
    if (routableMs > 0) setTimeout(announce, routableMs + 1).unref();
    else announce();
  }

  /** The idle time of a running machine was changed. */
  rearmAutosleep(machineId: string): void {
    this.#autosleep.arm(machineId);
  }

  #lost(machineId: string): void {
    const machine = this.#get(machineId);
    if (this.#isClosing || machine?.phase !== 'running') return;
    this.#start(machineId, () => this.#reboot(machineId, 'guest crashed'));
  }
}
