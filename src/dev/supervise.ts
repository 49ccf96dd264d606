/** Keeps one part running: started again, with growing pauses, when it ends without being told to. */
import type { Logger } from '../log.js';
import type { RunningProcess } from './process.js';

const PAUSE_MS_MIN = 500;
const PAUSE_MS_MAX = 30_000;
/** A part that ran this long counts as healthy: its next pause is short again. */
const HEALTHY_MS = 60_000;

/** What the starters of this folder answer. */
export interface Startable {
  readonly process: RunningProcess;
  stop(): Promise<void>;
}

export interface Supervised<T extends Startable> {
  /** The part as it was last started. */
  current(): T;
  /** Ends it and does not start it again. */
  stop(): Promise<void>;
}

/** Starts the part. @throws what `start` throws the first time; later failures are tried again */
export async function supervise<T extends Startable>(options: {
  readonly label: string;
  readonly start: () => Promise<T>;
  readonly log: Logger;
}): Promise<Supervised<T>> {
  const { label, start, log } = options;
  let part = await start();
  let isStopping = false;
  let pauseMs = PAUSE_MS_MIN;
  let wakeUp: (() => void) | undefined;

  const watch = async (): Promise<void> => {
    while (!isStopping) {
      const since = Date.now();
      const { code, signal } = await part.process.exited;
      if (isStopping) return;
      if (Date.now() - since > HEALTHY_MS) pauseMs = PAUSE_MS_MIN;
      log.warn({ code, signal, pauseMs }, `${label} ended by itself; it is started again`);
      for (let isBack = false; !isBack && !isStopping;) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, pauseMs);
          wakeUp = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        if (isStopping) return;
        pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX);
        isBack = await restart();
      }
    }
  };
  const restart = async (): Promise<boolean> => {
    try {
      part = await start();
      log.info({ pid: part.process.pid }, `${label} runs again`);
      return true;
    } catch (error) {
      log.warn({ err: error, pauseMs }, `${label} could not be started; it is tried again`);
      return false;
    }
  };
  const watching = watch();
  return {
    current: () => part,
    stop: async () => {
      isStopping = true;
      wakeUp?.();
      await part.stop();
      await watching;
      await part.stop(); // Where it was being started in that moment.
    },
  };
}
