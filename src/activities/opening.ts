/** Something that several callers wait for and that is given up when none of them does any more. */
export interface Opening<T> {
  /** Waits with the others. @throws what the work failed with; the caller's own reason */
  join(signal: AbortSignal): Promise<T>;
  /** Never rejects. */
  readonly settled: Promise<void>;
  abort(reason: Error): void;
}

export function createOpening<T>(work: (signal: AbortSignal) => Promise<T>): Opening<T> {
  const controller = new AbortController();
  const result = work(controller.signal);
  let waiting = 0;
  return {
    settled: result.then(
      () => undefined,
      () => undefined,
    ),
    abort: (reason) => controller.abort(reason),
    async join(signal) {
      waiting += 1;
      let leave = (): void => undefined;
      const left = new Promise<never>((_, reject) => {
        leave = () => reject(signal.reason as Error);
        if (signal.aborted) leave();
        else signal.addEventListener('abort', leave, { once: true });
      });
      try {
        return await Promise.race([result, left]);
      } finally {
        signal.removeEventListener('abort', leave);
        waiting -= 1;
        // Without effect once the work is done.
        if (waiting === 0) controller.abort(new DOMException('nobody waits any more', 'AbortError'));
      }
    },
  };
}
