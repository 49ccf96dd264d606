/** Time limits and waits that end early when a signal says so, and leave no listener or timer behind. */

export interface Deadline {
  readonly signal: AbortSignal;
  /** True once the limit, not the outer signal, ended it. */
  expired(): boolean;
  release(): void;
}

/** A signal that aborts with `outer` or after `ms`. Call `release` when done. */
export function withDeadline(outer: AbortSignal | undefined, ms: number): Deadline {
  const controller = new AbortController();
  let isExpired = false;
  const onOuter = (): void => controller.abort(outer?.reason);
  const timer = setTimeout(() => {
    isExpired = true;
    controller.abort(new DOMException('time limit', 'TimeoutError'));
  }, ms);
  if (outer?.aborted === true) onOuter();
  else outer?.addEventListener('abort', onOuter, { once: true });
  return {
    signal: controller.signal,
    expired: () => isExpired,
    release: () => {
      clearTimeout(timer);
      outer?.removeEventListener('abort', onOuter);
    },
  };
}

/** Waits `ms`. @throws the signal's reason when aborted. */
export async function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
