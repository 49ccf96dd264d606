/** Ends processes that outlived whoever started them, each checked to be the one that was meant. */
import { setTimeout as delay } from 'node:timers/promises';
import { isRunning, type ProcessIdentity } from './process-identity.js';

export interface Child extends ProcessIdentity {
  readonly label: string;
}

/** The order in which parts end: who uses before who is used. */
export const STOP_ORDER = ['gateway', 'worker', 'temporal', 'emulator', 'postgres'] as const;
/** Postgres ends its sessions at SIGINT; SIGTERM would wait for them. */
export const STOP_SIGNALS: Readonly<Record<string, NodeJS.Signals>> = { postgres: 'SIGINT' };
const GRACE_MS = 8_000;
const POLL_MS = 50;

/** Ends them one after the other: politely, then by force after 8 s each. Answers those that ran. */
export async function endProcesses(children: readonly Child[]): Promise<Child[]> {
  const rank = (child: Child): number => STOP_ORDER.findIndex((label) => label === child.label);
  const running = children.filter(isRunning).toSorted((a, b) => rank(a) - rank(b));
  for (const child of running) {
    signalGroup(child, STOP_SIGNALS[child.label] ?? 'SIGTERM');
    for (let waited = 0; isRunning(child) && waited < GRACE_MS; waited += POLL_MS) await delay(POLL_MS);
    if (isRunning(child)) signalGroup(child, 'SIGKILL');
  }
  return running;
}

/** Ends them at once. */
export function killProcesses(children: readonly Child[]): void {
  for (const child of children.filter(isRunning)) signalGroup(child, 'SIGKILL');
}

/** Every child was started as the leader of a group. */
function signalGroup({ pid }: Child, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It ended in between, which is the aim.
  }
}
