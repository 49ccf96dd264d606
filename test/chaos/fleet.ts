/**
 * The workers: one that is left alone, and one that is armed with the plan's next places, dies at the first that it reaches, and is
 * replaced by one that is armed with the rest. So both are at work for the same lanes all the time.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunningProcess } from '../../src/dev/process.js';
import { parseLaneWorkflowId } from '../../src/contracts/ids.js';
import type { RunJournal } from './journal.js';
import type { Plan, PlannedFault } from './plan/plan.js';
import type { Rig } from './rig.js';
import { surely } from './surely.js';

/** Places that a worker is armed with at once: rare ones must not keep the others waiting. */
const ARMED_MAX = 24;

export interface Fleet {
  /** The worker that is left alone by the plan's points. */
  steady(): RunningProcess;
  /** Stops arming: the armed worker is replaced by one that lives. */
  disarm(): Promise<void>;
  processes(): readonly RunningProcess[];
}

interface Death {
  readonly diesAt: { readonly point: string; readonly workflowId: string };
  readonly pid: number;
  readonly atMs: number;
}

export async function startFleet({
  plan,
  rig,
  journal,
}: {
  plan: Plan;
  rig: Rig;
  journal: RunJournal;
}): Promise<Fleet> {
  const { stack } = rig;
  const left = [...plan.workerPoints];
  const steady = await stack.startWorker();
  let armed: RunningProcess | undefined;
  let isDisarmed = false;

  async function startArmed(): Promise<void> {
    const points = left.slice(0, ARMED_MAX).map((fault) => fault.aim.point ?? '');
    const env = points.length === 0 ? {} : { WORKER_FAULT_POINT: points.join(',') };
    // Postgres and Temporal are killed meanwhile: a worker that cannot start is started again.
    armed = await surely(() => stack.startWorker(env));
  }

  async function keepArmed(): Promise<void> {
    while (!isDisarmed) {
      await startArmed();
      const worker = armed;
      if (worker === undefined) return;
      await worker.exited;
      if (isDisarmed) return;
      const death = findDeath(stack, worker.pid);
      const fault = left.find(({ aim }) => aim.point === death?.diesAt.point);
      if (death === undefined || fault === undefined) {
        journal.complain(`a worker ended by itself: ${worker.logTail()}`);
        continue;
      }
      left.splice(left.indexOf(fault), 1);
      const userId = parseLaneWorkflowId(death.diesAt.workflowId);
      const { atMs } = death;
      journal.struck({ fault, userId, turnId: undefined, atMs, untilMs: atMs, isEffective: true });
    }
  }
  const keeping = keepArmed();
  keeping.catch((error: unknown) => journal.complain(`the armed worker: ${String(error)}`));

  return {
    steady: () => steady,
    processes: () => (armed === undefined ? [steady] : [steady, armed]),
    async disarm() {
      if (isDisarmed) return;
      isDisarmed = true;
      const points: PlannedFault[] = left.splice(0);
      for (const fault of points) journal.miss(fault, 'never reached by the armed worker');
      armed?.signal('SIGKILL');
      await keeping.catch(() => undefined); // Complained of above.
      await startArmed();
    },
  };
}

/** What the worker wrote before it killed itself. */
function findDeath(stack: Rig['stack'], pid: number): Death | undefined {
  const log = readFileSync(join(stack.dataDir, `${stack.taskQueue}.log`), 'utf8');
  const line = log.split('\n').findLast((text) => text.startsWith('{"diesAt"') && text.includes(`"pid":${pid},`));
  return line === undefined ? undefined : (JSON.parse(line) as Death);
}
