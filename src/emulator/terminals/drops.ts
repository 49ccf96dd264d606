/** Injected ends of a terminal's socket. */
import type { WebSocket } from 'ws';
import { CUT_CLOSE_CODES, type Faults } from '../faults/faults.js';

/** Close codes by the moment they strike. */
export interface TerminalDrops {
  atConnection?: number;
  /** The frame that triggers it is lost. */
  onInput?: number;
  afterOutput?: { code: number; bytesLeft: number };
}

export function takeDrops(faults: Faults, machineId: string): TerminalDrops {
  const target = { machineId, route: 'terminals.stream' };
  const before = faults.take('terminal-drop', { ...target, at: 'before' });
  if (before) return { atConnection: before.closeCode };
  const during = faults.take('terminal-drop', { ...target, at: 'during' });
  if (during) return { onInput: during.closeCode };
  const after = faults.take('terminal-drop', { ...target, at: 'after' });
  return after ? { afterOutput: { code: after.closeCode, bytesLeft: after.afterBytes } } : {};
}

export function dropSocket(socket: WebSocket, code: number): void {
  if (code === 1005) socket.close();
  else if (CUT_CLOSE_CODES.includes(code)) socket.terminate();
  else socket.close(code, 'injected');
}
