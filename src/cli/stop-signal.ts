/** One place for the ways in which a person or a supervisor says stop. */
import { setMaxListeners } from 'node:events';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface StopSignal {
  /** Resolves at the first one. */
  readonly received: Promise<void>;
  /** Aborts at the first one. */
  readonly signal: AbortSignal;
  isReceived(): boolean;
  /** As if a first signal had come: for a chat that ended. */
  raise(): void;
}

/** Takes the signals from now on. `onSecond` runs at each one after the first. */
export function stopSignal(options: { readonly onSecond?: () => void } = {}): StopSignal {
  const controller = new AbortController();
  const { signal } = controller;
  setMaxListeners(0, signal); // Whatever waits ends by it.
  const received = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  const raise = (): void => controller.abort(new Error('stopped'));
  for (const name of SIGNALS) process.on(name, () => (signal.aborted ? options.onSecond?.() : raise()));
  return { received, signal, isReceived: () => signal.aborted, raise };
}
