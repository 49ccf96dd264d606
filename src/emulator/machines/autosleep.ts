/** Puts idle machines to sleep, by the emulator's clock. What counts as activity is said by whoever calls `touch`. */
import type { EmulatorClock } from '../state/clock.js';
import type { MachineRecord } from '../state/records.js';

export interface AutosleepHost {
  clock: EmulatorClock;
  find(machineId: string): MachineRecord | undefined;
  /** Something attached keeps the machine awake, whatever the clock says. */
  isHeldAwake(machineId: string): boolean;
  sleep(machine: MachineRecord): void;
}

export class Autosleep {
  #lastActivityMs = new Map<string, number>();
  #alarms = new Map<string, () => void>();

  constructor(private readonly host: AutosleepHost) {}

  touch(machineId: string): void {
    this.#lastActivityMs.set(machineId, this.host.clock.now());
  }

  /** One alarm per awake machine; activity only moves the figure that the alarm looks at when it rings. */
  arm(machineId: string): void {
    this.#alarms.get(machineId)?.();
    this.#alarms.delete(machineId);
    const machine = this.host.find(machineId);
    if (!machine || machine.phase !== 'running' || machine.autosleepSeconds === 0) return;
    if (this.host.isHeldAwake(machineId)) this.touch(machineId);
    const deadlineMs = (this.#lastActivityMs.get(machineId) ?? 0) + machine.autosleepSeconds * 1_000;
    if (deadlineMs > this.host.clock.now()) {
      const cancel = this.host.clock.schedule(deadlineMs, () => this.arm(machineId));
      this.#alarms.set(machineId, cancel);
    } else if (machine.desiredState === 'running') {
      this.host.sleep(machine);
    }
  }

  stop(): void {
    for (const cancel of this.#alarms.values()) cancel();
    this.#alarms.clear();
  }
}
