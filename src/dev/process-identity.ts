/** Tells a process from another that got its number later: a number together with the time of its start names one process. */
import { readFileSync } from 'node:fs';

export interface ProcessIdentity {
  readonly pid: number;
  /** In clock ticks since the boot of the system. */
  readonly startTime: string;
}

const FIELDS_BEFORE_START_TIME = 19;

/** undefined: there is no such process, or it has ended and only waits to be collected. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in brackets, may hold anything; what follows it is plain.
    const [state, ...fields] = line.slice(line.lastIndexOf(')') + 2).split(' ');
    const startTime = fields[FIELDS_BEFORE_START_TIME - 1];
    return state === 'Z' || startTime === undefined ? undefined : { pid, startTime };
  } catch {
    return undefined; // No entry: no process.
  }
}

/** True while exactly this process runs. */
export function isRunning(identity: ProcessIdentity): boolean {
  return identityOf(identity.pid)?.startTime === identity.startTime;
}
