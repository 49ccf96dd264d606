/** A delay that can be cut short. */
export class Pause {
  #end: () => void = () => undefined;

  async wait(ms: number): Promise<void> {
    if (ms <= 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#end = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#end = () => undefined;
  }

  interrupt(): void {
    this.#end();
  }
}
