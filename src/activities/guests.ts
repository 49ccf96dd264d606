/**
 * The attachments that this worker holds, one for each lane's machine: a terminal is opened once and reused from turn to turn.
 * Only a cache: whoever finds one broken attaches anew, under a higher number that fences out the older.
 */
import type { Guest, GuestAttachment } from '../guest/guest.js';
import { ATTACHMENTS_MAX } from '../contracts/limits.js';
import type { ActivityLog } from './context.js';

export interface HeldAttachment {
  readonly generation: number;
  readonly machineId: string;
  readonly guest: GuestAttachment;
}

export interface AttachTarget {
  readonly generation: number;
  readonly machineId: string;
  readonly ownerNonce: string;
}

export interface Guests {
  /** The open attachment of this lane, if this worker holds an unbroken one. */
  peek(workflowId: string): HeldAttachment | undefined;
  /** The held attachment when it fits the target, else a new one. `nextNumber` takes the number from Postgres. */
  attach(
    workflowId: string,
    target: AttachTarget,
    options: { nextNumber: () => Promise<number>; signal: AbortSignal },
  ): Promise<HeldAttachment>;
  drop(workflowId: string): Promise<void>;
  closeAll(): Promise<void>;
}

export function createGuests(options: { guest: Guest; log: ActivityLog }): Guests {
  // Insertion order is the order of use: the first is the one unused longest.
  const held = new Map<string, HeldAttachment>();
  const opening = new Map<string, Promise<HeldAttachment>>();

  function fits(attachment: HeldAttachment, target: AttachTarget): boolean {
    return attachment.generation === target.generation && attachment.machineId === target.machineId;
  }

  function peek(workflowId: string): HeldAttachment | undefined {
    const attachment = held.get(workflowId);
    return attachment === undefined || attachment.guest.isBroken ? undefined : attachment;
  }

  async function close(attachment: HeldAttachment): Promise<void> {
    try {
      await attachment.guest.close();
    } catch (error) {
      options.log.warn({ error, machineId: attachment.machineId }, 'closing an attachment failed');
    }
  }

  async function drop(workflowId: string): Promise<void> {
    const attachment = held.get(workflowId);
    held.delete(workflowId);
    if (attachment !== undefined) await close(attachment);
  }

  function keep(workflowId: string, attachment: HeldAttachment): void {
    held.delete(workflowId);
    held.set(workflowId, attachment);
    for (const oldest of held.keys()) {
      if (held.size <= ATTACHMENTS_MAX) break;
      void drop(oldest);
    }
  }

  async function open(
    workflowId: string,
    target: AttachTarget,
    { nextNumber, signal }: { nextNumber: () => Promise<number>; signal: AbortSignal },
  ): Promise<HeldAttachment> {
    await drop(workflowId);
    const guest = await options.guest.attach({
      machineId: target.machineId,
      ownerNonce: target.ownerNonce,
      attachment: await nextNumber(),
      signal,
    });
    const attachment = { generation: target.generation, machineId: target.machineId, guest };
    keep(workflowId, attachment);
    return attachment;
  }

  return {
    peek,
    async attach(workflowId, target, attachOptions) {
      const current = peek(workflowId);
      if (current !== undefined && fits(current, target)) {
        keep(workflowId, current);
        return current;
      }
      // A command and its stop may ask at the same time: they share one attachment, or one would fence out the other.
      let pending = opening.get(workflowId);
      if (pending === undefined) {
        pending = open(workflowId, target, attachOptions).finally(() => opening.delete(workflowId));
        opening.set(workflowId, pending);
      }
      return pending;
    },
    drop,
    async closeAll() {
      await Promise.all([...held.keys()].map(drop));
    },
  };
}
