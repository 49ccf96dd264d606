/** Ensure, sleep and destroy of the lane's machine: moves over the phase table, one at a time. Decides nothing about turns. */
import { CancellationScope } from '@temporalio/workflow';
import type { ErrorCode } from '../contracts/errors.js';
import type { LanePhase } from '../contracts/lane-state.js';
import type { Bell } from './bell.js';
import { codeOf } from './failures.js';
import { applyMachine, type LaneData } from './lane-data.js';
import { ensureMove, phaseDuring, type EnsureMove } from './machine-phase.js';
import * as steps from './steps.js';

export type Ensured = { readonly ok: true } | { readonly ok: false; readonly code: ErrorCode };
export type Slept =
  | { readonly kind: 'asleep' }
  /** A turn was admitted meanwhile (null), or a lease is alive until then (ms since the epoch). */
  | { readonly kind: 'busy'; readonly untilMs: number | null }
  | { readonly kind: 'failed' };

export interface LaneMachine {
  /** Brings the machine to `ready`, replacing one that is lost; callers share one attempt. Never rejects. */
  ensure(): Promise<Ensured>;
  /** Finishes what an earlier run began, for nobody: a machine that is lost stays so until somebody needs one. Never rejects. */
  finish(): Promise<Ensured>;
  /** Asks for sleep, if nothing is open by then. Never rejects. */
  sleep(): Promise<Slept>;
  /**
   * Stops a bootstrap or a wake that is under way, and refuses any more until `destroy` has succeeded; a create is awaited, so
   * that it cannot leak.
   */
  stopEnsuring(): void;
  /** An agent step found it asleep, or gone for good. */
  foundAsleep(): void;
  /** Never rejects. */
  foundLost(generation: number): Promise<Ensured>;
  /** False: it failed, and has to be tried again. Never rejects. */
  destroy(): Promise<boolean>;
  readonly isBusy: boolean;
  /** It is being put to sleep: whoever needs it waits for the end of that. */
  readonly isFallingAsleep: boolean;
}

export interface MachineEvents {
  /** Something of the lane's data has changed. */
  onChange(): void;
  /** Another run of the lane owns the user. */
  onStale(): void;
}

/** Moves that one `ensure` makes before it gives up: a replacement takes four, so this allows for several. */
const ENSURE_MOVES_MAX = 16;
/** Machines that one `ensure` replaces before it gives up. */
const REPLACEMENTS_MAX = 2;

export function createLaneMachine(data: LaneData, bell: Bell, events: MachineEvents): LaneMachine {
  // The lane's own scope: what the machine does is never cancelled with the turn that asked for it.
  const lane = CancellationScope.current();
  let ensuring: Promise<Ensured> | undefined;
  let ensureScope: CancellationScope | undefined;
  let isEnding = false;
  /** Somebody waits for what is being ensured. */
  let isWanted = false;
  let isFallingAsleep = false;
  let busy = 0;

  function show(phase: LanePhase): void {
    if (data.phase === phase) return;
    data.phase = phase;
    events.onChange();
  }

  /** Notes what an activity failed with. */
  function noteFailure(error: unknown): ErrorCode {
    const code = codeOf(error);
    if (code === 'CANCELLED') return code;
    data.lastErrorCode = code;
    events.onChange();
    if (code === 'STALE_LANE') events.onStale();
    return code;
  }

  async function move(kind: Exclude<EnsureMove, 'none' | 'refuse'>): Promise<void> {
    show(phaseDuring(kind, data.phase));
    switch (kind) {
      case 'provision':
        return applyMachine(data, await steps.provisionMachine());
      case 'bootstrap':
        return applyMachine(data, await steps.bootstrapMachine());
      case 'wake':
        return applyMachine(data, await steps.wakeMachine());
      case 'finish_sleep':
        return applyMachine(data, (await steps.sleepMachine()).machine);
    }
  }

  async function drive(): Promise<Ensured> {
    let replacements = 0;
    for (let moves = 0; moves < ENSURE_MOVES_MAX; moves += 1) {
      const next = ensureMove(data.phase);
      if (next === 'none') return { ok: true };
      if (next === 'refuse' || isEnding) return { ok: false, code: 'MACHINE_UNAVAILABLE' };
      try {
        await move(next);
      } catch (error) {
        const code = noteFailure(error);
        if (code === 'CANCELLED' && isEnding) return { ok: false, code: 'MACHINE_UNAVAILABLE' };
        if (code !== 'MACHINE_LOST' || replacements >= REPLACEMENTS_MAX) return { ok: false, code };
        replacements += 1;
        const lost = await foundLost(data.generation);
        if (!lost.ok) return lost;
        if (!isWanted) return { ok: false, code };
      }
      events.onChange();
    }
    return { ok: false, code: 'MACHINE_UNAVAILABLE' };
  }

  async function foundLost(generation: number): Promise<Ensured> {
    // A newer machine than the one reported is not concerned, and one that is known to be lost is not lost again.
    if (generation !== data.generation || data.phase === 'failed') return { ok: true };
    try {
      applyMachine(data, await steps.markMachineLost(generation));
      events.onChange();
      return { ok: true };
    } catch (error) {
      return { ok: false, code: noteFailure(error) };
    }
  }

  async function sleep(): Promise<Slept> {
    // One that is asleep as far as anybody knows only shows what comes of it.
    if (data.phase !== 'asleep') show('sleeping');
    try {
      const slept = await steps.sleepMachine();
      applyMachine(data, slept.machine);
      if (slept.kind === 'left_to_autosleep') data.lastErrorCode = 'PROVIDER_ROUTE_CLOSED';
      events.onChange();
      return slept.kind === 'busy' ? { kind: 'busy', untilMs: slept.untilMs } : { kind: 'asleep' };
    } catch (error) {
      if (noteFailure(error) === 'MACHINE_LOST') await foundLost(data.generation);
      return { kind: 'failed' };
    } finally {
      isFallingAsleep = false;
    }
  }

  async function destroy(): Promise<boolean> {
    show('destroying');
    try {
      applyMachine(data, await steps.destroyMachine());
      isEnding = false;
      events.onChange();
      return true;
    } catch (error) {
      noteFailure(error);
      return false;
    }
  }

  async function counted<T>(
    work: () => Promise<T>,
    scope = new CancellationScope({ cancellable: true, parent: lane }),
  ): Promise<T> {
    busy += 1;
    try {
      return await scope.run(work);
    } finally {
      busy -= 1;
      bell.ring();
    }
  }

  function ensure(): Promise<Ensured> {
    if (data.phase === 'ready') return Promise.resolve({ ok: true });
    if (ensuring === undefined) {
      ensureScope = new CancellationScope({ cancellable: true, parent: lane });
      ensuring = counted(async () => {
        const ensured = await drive();
        if (ensured.ok) data.lastActivityAtMs = Date.now();
        ensuring = undefined;
        isWanted = false;
        return ensured;
      }, ensureScope);
    }
    return ensuring;
  }

  return {
    get isBusy() {
      return busy > 0;
    },
    get isFallingAsleep() {
      return isFallingAsleep;
    },
    ensure() {
      isWanted ||= data.phase !== 'ready';
      return ensure();
    },
    finish: ensure,
    sleep() {
      isFallingAsleep = true;
      return counted(sleep);
    },
    stopEnsuring() {
      isEnding = true;
      if (data.phase !== 'provisioning') ensureScope?.cancel();
    },
    foundAsleep() {
      // While it is being ensured, or once it is known to be no more, that is what counts.
      if (ensuring === undefined && data.phase === 'ready') show('asleep');
    },
    foundLost: (generation) => counted(() => foundLost(generation)),
    destroy: () => counted(destroy),
  };
}
