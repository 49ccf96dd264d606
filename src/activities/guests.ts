/**
 * The attachments that this worker holds, one for each lane's machine: a terminal is opened once and reused from turn to turn.
 * Only a cache: whoever finds one broken attaches anew, under a higher number that fences out the older.
 */
import { InnkeeperError } from '../contracts/errors.js';
import { ATTACHMENT_IDLE_MS, ATTACHMENTS_MAX } from '../contracts/limits.js';
import type { Guest, GuestAttachment } from '../guest/guest.js';
import type { ActivityLog } from './context.js';
import { toLogged } from './failure.js';
import { createOpening, type Opening } from './opening.js';

export interface AttachTarget {
  readonly generation: number;
  readonly machineId: string;
  readonly ownerNonce: string;
  /** The boot that the ledger knows; undefined: whichever there is. */
  readonly bootId: string | undefined;
}

export interface HeldAttachment {
  readonly generation: number;
  readonly machineId: string;
  readonly guest: GuestAttachment;
}

export interface UseOptions {
  /** Called where an attachment has to be opened: looks whether that may be done, and takes its number from Postgres. */
  nextNumber(signal: AbortSignal): Promise<number>;
  readonly signal: AbortSignal;
}

export interface Guests {
  /** The open attachment of this lane, if this worker holds an unbroken one. */
  peek(workflowId: string): HeldAttachment | undefined;
  /**
   * Works with the held attachment where it fits the target, else with a new one. Callers at the same time share it. One that
   * turns out lost while it is used is given up, so that the next use attaches anew.
   * @throws what attaching and `work` throw; MACHINE_ASLEEP where the machine has booted anew; the signal's reason
   */
  use<T>(
    workflowId: string,
    target: AttachTarget,
    options: UseOptions,
    work: (held: HeldAttachment) => Promise<T>,
  ): Promise<T>;
  /** Gives up what is held and what is being opened. Resolves when the terminal is closed. */
  drop(workflowId: string): Promise<void>;
  closeAll(): Promise<void>;
}

interface Slot extends HeldAttachment {
  uses: number;
  usedAtMs: number;
}

/** Errors that leave it open whether the attachment still leads to the machine. */
const LOST: readonly string[] = ['GUEST_UNREACHABLE', 'ATTACHMENT_FENCED', 'MACHINE_ASLEEP', 'MACHINE_LOST'];
const SWEEP_INTERVAL_MS = 60_000;

export function createGuests(options: { guest: Guest; log: ActivityLog }): Guests {
  // Insertion order is the order of use: the first is the one unused longest.
  const slots = new Map<string, Slot>();
  const openings = new Map<string, Opening<Slot>>();
  const sweeper = setInterval(sweep, SWEEP_INTERVAL_MS);
  sweeper.unref();

  function peek(workflowId: string): Slot | undefined {
    const slot = slots.get(workflowId);
    return slot === undefined || slot.guest.isBroken ? undefined : slot;
  }

  /** Forgets it at once. Resolves when the terminal is closed; never rejects. */
  async function giveUp(workflowId: string, slot: Slot | undefined): Promise<void> {
    if (slot === undefined) return;
    if (slots.get(workflowId) === slot) slots.delete(workflowId);
    try {
      await slot.guest.close();
    } catch (error) {
      options.log.warn({ err: toLogged(error), machineId: slot.machineId }, 'closing an attachment failed');
    }
  }

  function keep(workflowId: string, slot: Slot): Slot {
    slot.usedAtMs = performance.now();
    slots.delete(workflowId);
    slots.set(workflowId, slot);
    for (const [oldest, idle] of slots) {
      if (slots.size <= ATTACHMENTS_MAX) break;
      if (idle !== slot && idle.uses === 0) void giveUp(oldest, idle);
    }
    return slot;
  }

  function sweep(): void {
    const since = performance.now() - ATTACHMENT_IDLE_MS;
    for (const [workflowId, slot] of slots) {
      if (slot.uses === 0 && (slot.guest.isBroken || slot.usedAtMs < since)) void giveUp(workflowId, slot);
    }
  }

  function open(workflowId: string, target: AttachTarget, nextNumber: UseOptions['nextNumber']): Opening<Slot> {
    const opening = createOpening(async (signal) => {
      const { generation, machineId, ownerNonce } = target;
      const attachment = await nextNumber(signal);
      const guest = await options.guest.attach({ machineId, ownerNonce, attachment, signal });
      const slot: Slot = { generation, machineId, guest, uses: 0, usedAtMs: 0 };
      if (signal.aborted) {
        void giveUp(workflowId, slot);
        signal.throwIfAborted();
      }
      return keep(workflowId, slot);
    });
    openings.set(workflowId, opening);
    void opening.settled.then(() => {
      if (openings.get(workflowId) === opening) openings.delete(workflowId);
    });
    return opening;
  }

  async function acquire(workflowId: string, target: AttachTarget, { nextNumber, signal }: UseOptions): Promise<Slot> {
    for (;;) {
      signal.throwIfAborted();
      const current = slots.get(workflowId);
      if (current !== undefined && !current.guest.isBroken && fits(current, target)) return keep(workflowId, current);
      // A command and its stop may ask at the same time: they share one attachment, or one would fence out the other.
      const others = openings.get(workflowId);
      if (others !== undefined) {
        await others.join(signal).catch(() => undefined); // Its failure is another caller's: this one tries for itself.
        continue;
      }
      void giveUp(workflowId, current);
      const slot = await open(workflowId, target, nextNumber).join(signal);
      if (fits(slot, target)) return slot;
      void giveUp(workflowId, slot);
      throw new InnkeeperError('MACHINE_ASLEEP', 'The machine has booted anew since it was last entered.');
    }
  }

  async function drop(workflowId: string): Promise<void> {
    const opening = openings.get(workflowId);
    opening?.abort(new InnkeeperError('GUEST_UNREACHABLE', 'The attachment was given up while it was made.'));
    await opening?.settled;
    await giveUp(workflowId, slots.get(workflowId));
  }

  return {
    peek,
    drop,
    async use(workflowId, target, useOptions, work) {
      const slot = await acquire(workflowId, target, useOptions);
      slot.uses += 1;
      try {
        return await work(slot);
      } catch (error) {
        if (InnkeeperError.is(error) && LOST.includes(error.code)) void giveUp(workflowId, slot);
        throw error;
      } finally {
        slot.uses -= 1;
      }
    },
    async closeAll() {
      clearInterval(sweeper);
      await Promise.all([...new Set([...slots.keys(), ...openings.keys()])].map(drop));
    },
  };
}

function fits(slot: Slot, target: AttachTarget): boolean {
  const isItsBoot = target.bootId === undefined || slot.guest.identity.bootId === target.bootId;
  return slot.generation === target.generation && slot.machineId === target.machineId && isItsBoot;
}
