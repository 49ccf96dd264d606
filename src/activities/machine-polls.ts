/** Waiting for a machine: a 2xx of the provider only means that it took the request. */
import { setTimeout as delay } from 'node:timers/promises';
import { InnkeeperError } from '../contracts/errors.js';
import type { BootstrapReport } from '../guest/guest.js';
import type { Machine, MachineProvider } from '../machines/provider.js';
import { isGone } from './ledger.js';

export interface PollSettings {
  /** Longest pause between two looks; the first ones come sooner. */
  readonly pollMs: number;
  readonly createTimeoutMs: number;
  readonly wakeTimeoutMs: number;
  readonly sleepTimeoutMs: number;
  /** How long a running machine may take to answer its first command. */
  readonly answerTimeoutMs: number;
  /** How long the disk of a running machine may take to be there; one that is empty after that is lost. */
  readonly diskTimeoutMs: number;
}

const FIRST_PAUSE_MS = 20;
/** A pause is this share of what was waited so far: what comes late by it is small beside the wait itself. */
const PAUSE_SHARE = 1 / 32;
/** A read may be stale, most of all for a machine that was just made: missing for so long it is gone. */
const MISSING_MS = 3_000;

/** Growing pauses up to `pollMs`; answers false once `timeoutMs` have passed. */
function createPauses(settings: PollSettings, timeoutMs: number, signal: AbortSignal): () => Promise<boolean> {
  const startedAt = performance.now();
  return async () => {
    const waitedMs = performance.now() - startedAt;
    if (waitedMs >= timeoutMs) return false;
    const pauseMs = Math.max(FIRST_PAUSE_MS, waitedMs * PAUSE_SHARE);
    await delay(Math.min(pauseMs, settings.pollMs), undefined, { signal });
    return true;
  };
}

/** As the provider's `find`; undefined only where it was missing for a while, whatever a stale read says. */
export async function findSurely(
  { machines, polls }: { machines: MachineProvider; polls: PollSettings },
  machineId: string,
  signal: AbortSignal,
): Promise<Machine | undefined> {
  const pause = createPauses(polls, MISSING_MS, signal);
  for (;;) {
    const machine = await machines.find(machineId, { signal });
    if (machine !== undefined || !(await pause())) return machine;
  }
}

/**
 * As the provider's `find`, but a machine that is falling asleep is waited for: nothing can be done with it before, and only then is
 * known until when it was awake. Undefined where it is missing; still `stopping` where that takes longer than a sleep may.
 */
export async function findStopped(
  { machines, polls }: { machines: MachineProvider; polls: PollSettings },
  machineId: string,
  signal: AbortSignal,
): Promise<Machine | undefined> {
  const pause = createPauses(polls, polls.sleepTimeoutMs, signal);
  for (;;) {
    const machine = await machines.find(machineId, { signal });
    if (machine?.phase !== 'stopping' || !(await pause())) return machine;
  }
}

/** Waits until the provider says `phase`. @throws MACHINE_LOST, MACHINE_NOT_READY (still under way after the timeout) */
export async function awaitPhase(
  { machines, polls }: { machines: MachineProvider; polls: PollSettings },
  machineId: string,
  phase: 'running' | 'sleeping',
  options: { timeoutMs: number; signal: AbortSignal },
): Promise<Machine> {
  const pause = createPauses(polls, options.timeoutMs, options.signal);
  for (;;) {
    const machine = await findSurely({ machines, polls }, machineId, options.signal);
    if (machine?.phase === phase) return machine;
    if (isGone(machine)) {
      const why = machine?.lastError ?? machine?.reason ?? 'it is gone';
      throw new InnkeeperError('MACHINE_LOST', `The machine failed for good: ${why}.`);
    }
    if (!(await pause())) {
      const state = machine.reason ?? machine.phase;
      throw new InnkeeperError('MACHINE_NOT_READY', `The machine is not ${phase} yet (${state}).`);
    }
  }
}

/** Repeats a command of ours until a machine that runs is routable too. */
export async function untilAnswering<T>(polls: PollSettings, signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  const pause = createPauses(polls, polls.answerTimeoutMs, signal);
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const isOnItsWay =
        InnkeeperError.is(error) && (error.code === 'GUEST_UNREACHABLE' || error.code === 'PROVIDER_UNAVAILABLE');
      if (!isOnItsWay || !(await pause())) throw error;
    }
  }
}

/**
 * Repeats a bootstrap for as long as it finds an empty disk: a machine that is taken for lost is deleted, so a disk that only comes
 * late must not be mistaken for one that is gone.
 */
export async function untilDiskIsThere(
  polls: PollSettings,
  signal: AbortSignal,
  bootstrap: () => Promise<BootstrapReport>,
): Promise<BootstrapReport> {
  const pause = createPauses(polls, polls.diskTimeoutMs, signal);
  for (;;) {
    const report = await bootstrap();
    if (report.isHomeEmpty !== true || !(await pause())) return report;
  }
}
