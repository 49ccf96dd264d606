/** One place for the ways in which a person or a supervisor says stop. */

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface StopSignal {
  /** Resolves at the first one. */
  readonly received: Promise<void>;
  isReceived(): boolean;
  /** As if a first signal had come: for a chat that ended. */
  raise(): void;
}

/** Takes the signals from now on. `onSecond` runs at each one after the first. */
export function stopSignal(options: { readonly onSecond?: () => void } = {}): StopSignal {
  let isReceived = false;
  let resolve: () => void = () => undefined;
  const received = new Promise<void>((done) => {
    resolve = done;
  });
  const raise = (): void => {
    isReceived = true;
    resolve();
  };
  for (const signal of SIGNALS) process.on(signal, () => (isReceived ? options.onSecond?.() : raise()));
  return { received, isReceived: () => isReceived, raise };
}
