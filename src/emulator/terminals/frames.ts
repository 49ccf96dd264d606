/** One direction of a terminal's socket, on which injected faults tear, double and delay what passes; order is kept but for late copies. */
import type { Faults } from '../faults/faults.js';

export class FrameLine {
  /** Frames that wait; behind them nothing overtakes. */
  #waiting: Promise<void> | undefined;

  constructor(
    private readonly faults: Faults,
    private readonly target: { readonly machineId: string; readonly at: 'during' | 'after' },
    private readonly deliver: (bytes: Buffer) => void,
  ) {}

  push(bytes: Buffer): void {
    const delayed = this.#take('frame-delayed');
    if (delayed === undefined && this.#waiting === undefined) return this.#pass(bytes);
    const before = this.#waiting ?? Promise.resolve();
    const waiting = before
      .then(() => wait(delayed?.delayMs ?? 0))
      .then(() => {
        if (this.#waiting === waiting) this.#waiting = undefined;
        this.#pass(bytes);
      });
    this.#waiting = waiting;
  }

  #pass(bytes: Buffer): void {
    const late = this.#take('frame-late');
    if (late !== undefined) setTimeout(() => this.deliver(bytes), late.delayMs).unref();
    if (this.#take('frame-torn') !== undefined) return this.#tear(bytes);
    this.deliver(bytes);
    if (this.#take('frame-duplicated') !== undefined) this.deliver(bytes);
  }

  /** Of input the second half is lost; output arrives whole, in two pieces. */
  #tear(bytes: Buffer): void {
    const half = Math.ceil(bytes.length / 2);
    this.deliver(bytes.subarray(0, half));
    if (this.target.at === 'after') this.deliver(bytes.subarray(half));
  }

  #take(kind: 'frame-torn' | 'frame-duplicated' | 'frame-delayed' | 'frame-late') {
    return this.faults.take(kind, { ...this.target, route: 'terminals.stream' });
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
