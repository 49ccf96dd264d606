/** The terminals that this process keeps: taken with a lease, found again by it, and all handed back as the gateway ends. */
import type { FastifyBaseLogger } from 'fastify';
import { InnkeeperError } from '../contracts/errors.js';
import { openPersonShell } from '../guest/person-shell.js';
import type { MachineAccess, TerminalSize } from '../machines/provider.js';
import type { HeldMachine, MachineLeases } from './machine-leases.js';
import type { TerminalBounds } from './parts.js';
import { createTerminalSession, type TerminalSession } from './terminal-session.js';

export interface TakeTerminal extends TerminalSize {
  readonly userId: string;
  readonly holder: string;
  /** The lease of a terminal that this holder had before: its shell where it still lives here, else a new one in its place. */
  readonly leaseId?: string | undefined;
}

export interface TerminalSessions {
  /**
   * @throws InnkeeperError TERMINALS_EXCEEDED, TERMINALS_UNSUPPORTED; what MachineLeases.hold throws; GUEST_UNREACHABLE, MACHINE_LOST
   */
  take(request: TakeTerminal): Promise<{ session: TerminalSession; isResumed: boolean }>;
  /** Hands all of them back, and takes none any more. */
  close(): Promise<void>;
}

export function createTerminalSessions(parts: {
  readonly leases: MachineLeases;
  readonly machines?: MachineAccess | undefined;
  readonly bounds: TerminalBounds;
  readonly closing: AbortSignal;
  readonly log: FastifyBaseLogger;
}): TerminalSessions {
  const { leases, bounds, closing, log } = parts;
  const sessions = new Map<string, TerminalSession>();
  const openings = new Set<Promise<unknown>>();

  function find({ leaseId, userId, holder }: TakeTerminal): TerminalSession | undefined {
    const session = leaseId === undefined ? undefined : sessions.get(leaseId);
    return session?.userId === userId && session.holder === holder && !session.isOver ? session : undefined;
  }

  async function open({ userId, holder, leaseId, columns, rows }: TakeTerminal): Promise<TerminalSession> {
    let session: TerminalSession | undefined;
    const onRenewed = (until: Date): void => session?.tellLease(until);
    const held = await leases.hold({ userId, kind: 'terminal', holder, replaces: leaseId, onRenewed });
    try {
      const signal = AbortSignal.any([held.lost, closing, AbortSignal.timeout(bounds.openMs)]);
      const { machines, machineId } = held;
      const shell = await openPersonShell({ machines, machineId, columns, rows, signal });
      const onOver = (): void => void sessions.delete(held.leaseId);
      session = createTerminalSession({ held, shell, holder, bounds, log, onOver });
      sessions.set(held.leaseId, session);
      return session;
    } catch (error) {
      await held.release({ reason: 'disconnected', directory: null });
      throw toTerminalError(error, held);
    }
  }

  return {
    async take(request) {
      const known = find(request);
      if (known !== undefined) return { session: known, isResumed: true };
      if (parts.machines?.hasTerminals() === false) throw unsupported();
      if (closing.aborted || sessions.size + openings.size >= bounds.max) {
        throw new InnkeeperError('TERMINALS_EXCEEDED', 'This gateway keeps no more terminals.');
      }
      const opening = open(request);
      openings.add(opening);
      try {
        return { session: await opening, isResumed: false };
      } finally {
        openings.delete(opening);
      }
    },
    async close() {
      await Promise.allSettled(openings);
      await Promise.all([...sessions.values()].map((session) => session.handBack('closing')));
    },
  };
}

function unsupported(): InnkeeperError {
  return new InnkeeperError('TERMINALS_UNSUPPORTED', 'The machines of this deployment have no terminals.');
}

function toTerminalError(error: unknown, { lost }: HeldMachine): unknown {
  if (lost.aborted) return lost.reason;
  if (InnkeeperError.is(error)) {
    return error.code === 'PROVIDER_ROUTE_CLOSED' ? unsupported() : error;
  }
  const isLate = error instanceof Error && error.name === 'TimeoutError';
  return isLate ? new InnkeeperError('GUEST_UNREACHABLE', 'The terminal did not come up in time.') : error;
}
