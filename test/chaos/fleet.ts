/**
 * The workers: always two, so that both are at work for the same lanes. Each is armed with places of the plan, dies at the first that
 * it reaches, and is replaced. Places are armed bit by bit as turns end, or all would strike at once.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseLaneWorkflowId } from '../../src/contracts/ids.js';
import type { RunningProcess } from '../../src/dev/process.js';
import type { RunJournal } from './journal.js';
import type { Plan, PlannedFault } from './plan/plan.js';
import type { Rig } from './rig.js';
import { surely } from './surely.js';

/** Activities that few turns need. */
const SELDOM = /^(admitPrompt|recordCancel|recordRejection|stopCommand|closeTurn|markMachineLost|destroyMachine)\//;
/** Kills that are due before the first turn has ended; and the share of the turns by which all of them are due. */
const PACES = {
  frequent: { ahead: 2, until: 1 },
  // What seldom happens is waited for from early on.
  seldom: { ahead: 8, until: 2 / 3 },
} as const;
/** Between two looks at what is due. */
const ARM_MS = 100;
const TURNABOUT_MS = 2_000;

export interface Fleet {
  /** One of the workers, for what is done to a whole process. */
  anyWorker(): RunningProcess;
  /** From here on nobody dies: both are replaced by one that lives. */
  disarm(): Promise<void>;
}

interface Death {
  readonly diesAt: { readonly point: string; readonly workflowId: string };
  readonly pid: number;
  readonly atMs: number;
}

export async function startFleet(of: {
  plan: Plan;
  rig: Rig;
  journal: RunJournal;
  turnsEnded: () => number;
}): Promise<Fleet> {
  const { rig, journal, plan, turnsEnded } = of;
  const { stack } = rig;
  const left = new Set(plan.workerPoints);
  const paceOf = ({ aim }: PlannedFault) => (SELDOM.test(aim.point ?? '') ? PACES.seldom : PACES.frequent);
  const workers: RunningProcess[] = [];
  const armed = ['', ''];
  let isDisarmed = false;
  const fileOf = (place: number): string => join(rig.dataDir, `fault-points-${place}`);

  /** A place is armed in one of the two, or both might die there at once; in turns, since a lane stays with its worker. */
  function arm(): void {
    const points = Object.values(PACES).flatMap((pace) => {
      const all = plan.workerPoints.filter((fault) => paceOf(fault) === pace);
      const open = all.filter((fault) => left.has(fault));
      const due = pace.ahead + (all.length * turnsEnded()) / (plan.turns * pace.until);
      return all.length - open.length < due ? open : [];
    });
    const shift = Math.floor(Date.now() / TURNABOUT_MS);
    armed.forEach((before, place) => {
      const own = points.filter((_, index) => !isDisarmed && (index + shift) % 2 === place);
      const text = own.map(({ aim }) => aim.point).join(',');
      if (text === before) return;
      armed[place] = text;
      writeFileSync(`${fileOf(place)}.new`, text);
      renameSync(`${fileOf(place)}.new`, fileOf(place));
    });
  }

  async function start(place: number): Promise<RunningProcess> {
    // Postgres and Temporal are killed meanwhile: a worker that cannot start is started again.
    return (workers[place] = await surely(() => stack.startWorker({ WORKER_FAULT_POINT: `@${fileOf(place)}` })));
  }

  async function keep(place: number): Promise<void> {
    let worker = workers[place];
    while (worker !== undefined) {
      await worker.exited;
      if (isDisarmed) return;
      noteDeath(worker);
      worker = await start(place);
      // Disarmed while it started: it was not there to be ended with the others.
      if (isDisarmed) worker.signal('SIGKILL');
    }
  }

  function noteDeath(worker: RunningProcess): void {
    const death = findDeath(stack, worker.pid);
    const fault = [...left].find(({ aim }) => aim.point === death?.diesAt.point);
    if (death === undefined) return journal.complain(`a worker ended by itself: ${worker.logTail()}`);
    if (fault === undefined) return; // Reached a second time before it was taken back.
    left.delete(fault);
    arm();
    const userId = parseLaneWorkflowId(death.diesAt.workflowId);
    const { atMs } = death;
    journal.struck({ fault, userId, turnId: undefined, atMs, untilMs: atMs, isEffective: true });
  }

  arm();
  await Promise.all([0, 1].map(start));
  const arming = setInterval(arm, ARM_MS);
  const keeping = [0, 1].map((place) =>
    keep(place).catch((error: unknown) => journal.complain(`a worker could not be kept: ${String(error)}`)),
  );

  return {
    anyWorker() {
      const worker = workers.find((one) => !one.hasExited());
      if (worker === undefined) throw new Error('no worker runs');
      return worker;
    },
    async disarm() {
      isDisarmed = true;
      clearInterval(arming);
      arm();
      for (const fault of left) journal.miss(fault, 'no worker reached this place');
      for (const worker of workers) worker.signal('SIGKILL');
      await Promise.all(keeping);
      await start(0);
    },
  };
}

/** All workers write to one log, each in the middle of what another says. */
function readLog(stack: Rig['stack']): string {
  return readFileSync(join(stack.dataDir, `${stack.taskQueue}.log`), 'utf8');
}

/** What the worker wrote before it killed itself. */
function findDeath(stack: Rig['stack'], pid: number): Death | undefined {
  const line = readLog(stack)
    .split('\n')
    .findLast((text) => text.startsWith('{"diesAt"') && text.includes(`"pid":${pid},`));
  return line === undefined ? undefined : (JSON.parse(line) as Death);
}
