/**
 * The heartbeats of an activity, and whether they were heard: an attempt that was frozen for longer than its heartbeat timeout
 * may have a successor by the time it goes on, and must change nothing any more.
 */
import { Context } from '@temporalio/activity';
import type { StepHeartbeat } from '../contracts/activities.js';
import { HEARTBEAT_INTERVAL_MS } from '../contracts/limits.js';
import { frozenFailure } from './failure.js';

interface Pulse {
  /** Of the last heartbeat, or of the beginning: by a clock that may stand still with the machine, and by one that does not. */
  beat: { readonly monotonicMs: number; readonly wallMs: number };
  readonly gapMsMax: number;
  wasFrozen: boolean;
}

const pulses = new WeakMap<Context, Pulse>();

/**
 * Heartbeats while `body` runs; `report` changes what the next heartbeats carry. The first one is due after an interval, so that
 * a short activity costs the server none.
 */
export async function withHeartbeat<T>(
  first: Omit<StepHeartbeat, 'elapsedMs'>,
  body: (report: (change: Partial<StepHeartbeat>) => void) => Promise<T>,
): Promise<T> {
  const context = Context.current();
  const startedAtMs = performance.now();
  const pulse: Pulse = { beat: now(), gapMsMax: context.info.heartbeatTimeoutMs ?? Infinity, wasFrozen: false };
  pulses.set(context, pulse);
  let details: Omit<StepHeartbeat, 'elapsedMs'> = first;
  const timer = setInterval(() => {
    if (isLate(pulse)) return;
    pulse.beat = now();
    const elapsedMs = Math.round(pulse.beat.monotonicMs - startedAtMs);
    context.heartbeat({ ...details, elapsedMs } satisfies StepHeartbeat);
  }, HEARTBEAT_INTERVAL_MS);
  try {
    return await body((change) => {
      details = { ...details, ...change };
    });
  } finally {
    clearInterval(timer);
  }
}

/** @throws ApplicationFailure STALE_TRY, to be repeated, where the current activity heartbeats and was silent for too long */
export function assertHeard(): void {
  const pulse = pulses.get(Context.current());
  if (pulse !== undefined && isLate(pulse)) throw frozenFailure();
}

function isLate(pulse: Pulse): boolean {
  const { monotonicMs, wallMs } = now();
  const gapMs = Math.max(monotonicMs - pulse.beat.monotonicMs, wallMs - pulse.beat.wallMs);
  pulse.wasFrozen ||= gapMs > pulse.gapMsMax;
  return pulse.wasFrozen;
}

function now(): Pulse['beat'] {
  return { monotonicMs: performance.now(), wallMs: Date.now() };
}
