/** A task queue with one worker, which dies at a named point when it is told to; the one that then takes over is the next to die. */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Branch } from '../../support/stack.js';
import { waitFor } from '../../support/wait-for.js';
import type { Stage } from './stage.js';

export interface MortalWorker {
  readonly branch: Branch;
  /** From now on a worker runs that is going to die: at `point`, or by `kill`. */
  arm(point?: string): Promise<void>;
  kill(): void;
  /** Waits for its death and starts the next one, which knows nothing of it. */
  succeed(): Promise<void>;
}

let opened = 0;

export function openMortalWorker(stage: Stage): MortalWorker {
  const file = join(stage.stack.dataDir, `fault-points-${(opened += 1)}`);
  const branch = stage.stack.openBranch();
  let worker: Awaited<ReturnType<Branch['startWorker']>> | undefined;
  const startWorker = () => branch.startWorker({ WORKER_FAULT_POINT: `@${file}` });
  const setPoints = (points: string): void => {
    writeFileSync(`${file}.new`, points);
    renameSync(`${file}.new`, file); // Whole at any moment: the worker reads it while it works.
  };
  return {
    branch,
    async arm(point = '') {
      setPoints(point);
      worker ??= await startWorker();
    },
    kill: () => worker?.signal('SIGKILL'),
    async succeed() {
      await waitFor('the worker is killed', () => worker?.hasExited());
      expect(await worker?.exited).toEqual({ code: null, signal: 'SIGKILL' });
      setPoints('');
      worker = await startWorker();
    },
  };
}
