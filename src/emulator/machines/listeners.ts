/** What other parts of the emulator hear about machines. */
import type { MachineRecord } from '../state/records.js';

export interface MachineListener {
  /** After every committed change of a machine. */
  onChanged?(machine: MachineRecord): void;
  /** Running and, after the configured delay, routable. */
  onUsable?(machine: MachineRecord): void;
  /** Its processes are about to end (`cold`) or to be frozen (`warm`). */
  onStopping?(machine: MachineRecord, mode: 'cold' | 'warm'): void;
  /** It will never be usable again. May come more than once. */
  onEnded?(machine: MachineRecord): void;
}

export class MachineListeners {
  #listeners: readonly MachineListener[] = [];

  /** @returns a function that ends the listening */
  add(listener: MachineListener): () => void {
    this.#listeners = [...this.#listeners, listener];
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== listener);
    };
  }

  changed(machine: MachineRecord): void {
    for (const listener of this.#listeners) listener.onChanged?.(machine);
  }

  usable(machine: MachineRecord): void {
    for (const listener of this.#listeners) listener.onUsable?.(machine);
  }

  stopping(machine: MachineRecord, mode: 'cold' | 'warm'): void {
    for (const listener of this.#listeners) listener.onStopping?.(machine, mode);
  }

  ended(machine: MachineRecord): void {
    for (const listener of this.#listeners) listener.onEnded?.(machine);
  }
}
