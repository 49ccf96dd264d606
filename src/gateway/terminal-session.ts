/**
 * One person at one machine: their socket, their shell, the lease that keeps both. The socket may break and come back; the shell is left
 * once, whatever the reason, and only then does the agent go on. Nothing that passes is kept or logged.
 */
import type { FastifyBaseLogger } from 'fastify';
import type { WebSocket } from 'ws';
import { ERROR_TABLE } from '../contracts/errors.js';
import type { TerminalEnd } from '../contracts/events.js';
import { TERMINAL_CLOSE_BASE, type TerminalServerFrame } from '../contracts/terminal.js';
import type { PersonShell } from '../guest/person-shell.js';
import type { HeldMachine } from './machine-leases.js';
import type { TerminalBounds } from './parts.js';
import { toInnkeeperError } from './problem.js';
import { formatServerFrame, parseClientFrame } from './terminal-frames.js';
import { createTerminalFlow } from './terminal-flow.js';

export interface TerminalSession {
  readonly userId: string;
  readonly holder: string;
  readonly leaseId: string;
  /** It is being left, or was. */
  readonly isOver: boolean;
  /** Gives the shell to a socket that is open; one that had it before is closed. */
  attach(socket: WebSocket, how: { readonly isResumed: boolean }): void;
  /** The lease lives until then. */
  tellLease(until: Date): void;
  /** Leaves the shell and gives the machine back. May be repeated: the first reason counts. Never rejects. */
  handBack(reason: TerminalEnd): Promise<void>;
}

export interface TerminalSessionParts {
  readonly held: HeldMachine;
  readonly shell: PersonShell;
  readonly holder: string;
  readonly bounds: TerminalBounds;
  readonly log: FastifyBaseLogger;
  onOver(): void;
}

/** The peer's own close code of a shell that has ended. */
const CLOSE_NORMAL = 1000;
const CLOSE_POLICY = 1008;
/** From the last frame of a socket to its end by force. */
const CLOSE_WAIT_MS = 2_000;

export function createTerminalSession(parts: TerminalSessionParts): TerminalSession {
  const { held, shell, holder, bounds, log } = parts;
  const { userId, leaseId, machineId } = held;
  const flow = createTerminalFlow(shell, bounds);
  let socket: WebSocket | undefined;
  let over: Promise<void> | undefined;
  let grace: NodeJS.Timeout | undefined;
  const quiet = setTimeout(() => void handBack('quiet'), bounds.quietMs);

  held.lost.addEventListener('abort', () => void handBack('expired'));
  void shell.closed.then(({ code }) => handBack(code === CLOSE_NORMAL ? 'exited' : 'disconnected'));

  function type(bytes: Uint8Array): void {
    quiet.refresh();
    // A gateway that was frozen finds keys that were meant for a lease of the past.
    held.assertAlive();
    flow.type(bytes);
  }

  function control(data: Uint8Array): void {
    const frame = parseClientFrame(data);
    if (frame.type === 'hand_back') void handBack('handed_back');
    else flow.resize(frame);
  }

  function take(from: WebSocket, data: Uint8Array, isBinary: boolean): void {
    if (from !== socket || over !== undefined) return;
    try {
      if (isBinary) type(data);
      else control(data);
    } catch (error) {
      if (held.lost.aborted) return; // Handed back by that.
      refuse(from, error);
    }
  }

  function detach(from: WebSocket): void {
    if (from !== socket) return;
    socket = undefined;
    flow.show(undefined);
    if (over === undefined) grace = setTimeout(() => void handBack('disconnected'), bounds.graceMs);
  }

  async function leave(reason: TerminalEnd): Promise<string | null> {
    // Somebody else may be at work there by now.
    if (held.lost.aborted) return null;
    try {
      return await shell.leave(AbortSignal.any([held.lost, AbortSignal.timeout(bounds.leaveMs)]));
    } catch (error) {
      log.warn({ err: error, machineId, reason }, 'a terminal could not be left in order');
      return null;
    }
  }

  async function end(reason: TerminalEnd): Promise<void> {
    clearTimeout(grace);
    clearTimeout(quiet);
    const directory = await leave(reason);
    await held.release({ reason, directory });
    if (socket !== undefined) {
      socket.send(formatServerFrame({ type: 'handed_back', reason, directory }));
      close(socket, CLOSE_NORMAL, reason);
    }
    flow.show(undefined);
    await shell.close();
    parts.onOver();
  }

  function handBack(reason: TerminalEnd): Promise<void> {
    return (over ??= end(reason));
  }

  return {
    ...{ userId, holder, leaseId },
    get isOver() {
      return over !== undefined;
    },
    attach(next, { isResumed }) {
      clearTimeout(grace);
      const former = socket;
      socket = next;
      if (former !== undefined) close(former, CLOSE_POLICY, 'taken over by a newer connection');
      const until = held.expiresAt.toISOString();
      next.send(formatServerFrame({ type: 'taken', leaseId, holder, until, isResumed }));
      next.on('message', (data: Buffer, isBinary: boolean) => take(next, data, isBinary));
      next.once('close', () => detach(next));
      flow.show(next);
      if (next.readyState !== next.OPEN) detach(next);
    },
    tellLease(until) {
      socket?.send(formatServerFrame({ type: 'lease', until: until.toISOString() }));
    },
    handBack,
  };
}

/** Tells why, and closes. */
export function refuse(socket: WebSocket, error: unknown): void {
  const { code, message, advice } = toInnkeeperError(error);
  const frame: TerminalServerFrame = { type: 'error', code, message, advice };
  socket.send(formatServerFrame(frame));
  close(socket, TERMINAL_CLOSE_BASE + ERROR_TABLE[code].httpStatus, code);
}

function close(socket: WebSocket, code: number, reason: string): void {
  socket.resume(); // Else the other side's word of the end would not be taken.
  socket.close(code, reason);
  const timer = setTimeout(() => socket.terminate(), CLOSE_WAIT_MS);
  socket.once('close', () => clearTimeout(timer));
}
