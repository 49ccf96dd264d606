/**
 * Bytes between a socket and a shell, with bounds each way: a reader that is slow stalls the shell, and is disconnected where it takes
 * nothing for long; a machine that is slow stalls the typist. While there is no socket the shell waits.
 */
import type { WebSocket } from 'ws';
import type { PersonShell } from '../guest/person-shell.js';
import type { TerminalSize } from '../machines/provider.js';
import type { TerminalBounds } from './parts.js';

/** How often it is looked whether a machine has taken what was typed. */
const LOOK_MS = 20;

export interface TerminalFlow {
  /** Shows the shell on this socket from here on; undefined: to nobody. */
  show(socket: WebSocket | undefined): void;
  /** @throws InnkeeperError GUEST_UNREACHABLE */
  type(bytes: Uint8Array): void;
  resize(size: TerminalSize): void;
}

export function createTerminalFlow(
  shell: PersonShell,
  { unsentBytesMax, stallMs, heartbeatMs }: TerminalBounds,
): TerminalFlow {
  let socket: WebSocket | undefined;
  let isListening = false;
  let isStalled = false;
  /** Came while there was no socket: what was on its way as the shell was paused. */
  let unseen: Uint8Array[] = [];
  let stall: NodeJS.Timeout | undefined;
  let heartbeat: NodeJS.Timeout | undefined;

  function send(to: WebSocket, bytes: Uint8Array): void {
    to.send(bytes, { binary: true }, () => settle(to));
    if (to.bufferedAmount <= unsentBytesMax || isStalled) return;
    isStalled = true;
    shell.pause(true);
    stall = setTimeout(() => to.terminate(), stallMs);
  }

  /** Something went out. */
  function settle(to: WebSocket): void {
    if (to !== socket || !isStalled) return;
    stall?.refresh();
    if (to.bufferedAmount <= unsentBytesMax / 2) resume();
  }

  function resume(): void {
    clearTimeout(stall);
    isStalled = false;
    shell.pause(false);
  }

  function hear(bytes: Uint8Array): void {
    if (socket === undefined) unseen.push(bytes);
    else send(socket, bytes);
  }

  /** While the machine has not taken what came, no more is read. */
  function slowDown(): void {
    const from = socket;
    if (from === undefined || from.isPaused || shell.unsentBytes <= unsentBytesMax) return;
    from.pause();
    const timer = setInterval(() => {
      if (from === socket && from.readyState === from.OPEN && shell.unsentBytes > unsentBytesMax / 2) return;
      clearInterval(timer);
      from.resume();
    }, LOOK_MS);
  }

  return {
    show(next) {
      clearTimeout(stall);
      clearInterval(heartbeat);
      socket = next;
      if (next === undefined) return shell.pause(true);
      heartbeat = keepAlive(next, heartbeatMs);
      const waiting = unseen;
      unseen = [];
      resume();
      for (const bytes of waiting) send(next, bytes);
      if (!isListening) shell.onOutput(hear);
      isListening = true;
    },
    type(bytes) {
      shell.write(bytes);
      slowDown();
    },
    resize(size) {
      shell.resize(size);
      slowDown();
    },
  };
}

/** Ends a socket whose other side does not answer. */
function keepAlive(socket: WebSocket, heartbeatMs: number): NodeJS.Timeout {
  let isAlive = true;
  socket.on('pong', () => (isAlive = true));
  return setInterval(() => {
    // While it is not read, its answers are not either.
    if (socket.isPaused) return;
    if (!isAlive) return socket.terminate();
    isAlive = false;
    socket.ping();
  }, heartbeatMs);
}
