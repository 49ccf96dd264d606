/** Injected ends of a terminal's socket: one object for each connection. */
import type { WebSocket } from 'ws';
import { CUT_CLOSE_CODES, type Faults } from '../faults/faults.js';

export class TerminalDrops {
  #afterOutput: { readonly code: number; bytesLeft: number } | undefined;

  constructor(
    private readonly faults: Faults,
    private readonly machineId: string,
  ) {}

  /** Close code, where the connection ends as it begins. */
  atConnection(): number | undefined {
    return this.#take('before')?.closeCode;
  }

  /** Close code, where the frame that has come is lost with the connection. */
  onInput(): number | undefined {
    return this.#take('during')?.closeCode;
  }

  /** Close code, where the connection ends behind these bytes. */
  afterOutput(bytes: number): number | undefined {
    if (this.#afterOutput === undefined) {
      const fault = this.#take('after');
      if (fault === undefined) return undefined;
      this.#afterOutput = { code: fault.closeCode, bytesLeft: fault.afterBytes };
    }
    this.#afterOutput.bytesLeft -= bytes;
    if (this.#afterOutput.bytesLeft > 0) return undefined;
    const { code } = this.#afterOutput;
    this.#afterOutput = undefined;
    return code;
  }

  #take(at: 'before' | 'during' | 'after') {
    return this.faults.take('terminal-drop', { machineId: this.machineId, route: 'terminals.stream', at });
  }
}

export function dropSocket(socket: WebSocket, code: number): void {
  if (code === 1005) socket.close();
  else if (CUT_CLOSE_CODES.includes(code)) socket.terminate();
  else socket.close(code, 'injected');
}
