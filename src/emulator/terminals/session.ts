/**
 * One live terminal: a shell on a pty of its guest, and at most one socket. A newer socket takes over from an older
 * one. A slow reader pauses the guest's terminal; while nobody is attached, the newest output is kept for the next.
 */
import type { WebSocket } from 'ws';
import {
  TERMINAL_BACKLOG_BYTES_MAX,
  TERMINAL_COLUMNS_MAX,
  TERMINAL_ROWS_MAX,
  TERMINAL_SOCKET_HIGH_BYTES,
  TERMINAL_SOCKET_LOW_BYTES,
} from '../constants.js';
import type { Faults } from '../faults/faults.js';
import type { ChannelEnd, CommandRequest, Sandbox } from '../sandbox/sandbox.js';
import type { TerminalProtocol } from './protocol.js';
import { dropSocket, type TerminalDrops } from './drops.js';
import { FrameLine } from './frames.js';

/** Close codes of the server's own making; the vendor's are not known. */
export const CLOSE_SHELL_EXITED = 1000;
export const CLOSE_MACHINE_STOPPED = 1001;
export const CLOSE_REPLACED = 1008;

export interface SessionEvents {
  onInput(): void;
  onEnded(end: ChannelEnd): void;
}

export class TerminalSession {
  #channel: number;
  #socket: WebSocket | undefined;
  #protocol: TerminalProtocol | undefined;
  #drops: TerminalDrops | undefined;
  #backlog: Buffer[] = [];
  #backlogBytes = 0;
  #isPaused = false;
  #hasEnded = false;
  readonly #inputLine: FrameLine;
  readonly #outputLine: FrameLine;

  constructor(
    private readonly sandbox: Sandbox,
    command: CommandRequest,
    size: { columns: number; rows: number },
    private readonly events: SessionEvents,
    trouble: { readonly faults: Faults; readonly machineId: string },
  ) {
    const { faults, machineId } = trouble;
    this.#inputLine = new FrameLine(faults, { machineId, at: 'during' }, (bytes) => this.#write(bytes));
    this.#outputLine = new FrameLine(faults, { machineId, at: 'after' }, (bytes) => this.#output(bytes));
    this.#channel = sandbox.startTerminal(command, size.columns, size.rows, {
      onData: (_stream, bytes) => this.#outputLine.push(bytes),
      onClosed: (end) => {
        this.#hasEnded = true;
        this.detach(CLOSE_SHELL_EXITED, 'shell exited', true);
        events.onEnded(end);
      },
    });
  }

  get isAttached(): boolean {
    return this.#socket !== undefined;
  }

  attach(socket: WebSocket, protocol: TerminalProtocol, drops: TerminalDrops): void {
    this.detach(CLOSE_REPLACED, 'replaced by a newer connection', false);
    this.#socket = socket;
    this.#protocol = protocol;
    this.#drops = drops;
    socket.on('message', (data, isBinary) => this.#input(socket, toBuffer(data), isBinary));
    socket.on('close', () => this.#detached(socket));
    // `close` follows every error and does what is needed.
    socket.on('error', () => undefined);
    const code = drops.atConnection();
    if (code !== undefined) return dropSocket(socket, code);
    const backlog = this.#backlog;
    this.#backlog = [];
    this.#backlogBytes = 0;
    for (const bytes of backlog) this.#output(bytes);
  }

  detach(code: number, reason: string, isOver: boolean): void {
    const socket = this.#socket;
    if (!socket) return;
    if (isOver) for (const frame of this.#protocol?.endFrames() ?? []) socket.send(frame);
    socket.close(code, reason);
    this.#detached(socket);
  }

  /** Ends the shell; `onEnded` follows. */
  hangUp(): void {
    this.sandbox.signalGroup(this.#channel, 'HUP');
    this.sandbox.signalGroup(this.#channel, 'KILL');
  }

  #detached(socket: WebSocket): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    this.#pause(false);
  }

  #input(socket: WebSocket, data: Buffer, isBinary: boolean): void {
    if (this.#socket !== socket || !this.#protocol) return;
    const input = this.#protocol.decode(data, isBinary);
    if (input.kind === 'invalid') {
      const frame = this.#protocol.encodeError('INVALID_EVENT', input.message);
      if (frame !== undefined) socket.send(frame);
      return;
    }
    if (input.kind === 'resize') {
      const columns = Math.min(input.columns, TERMINAL_COLUMNS_MAX);
      return this.sandbox.resize(this.#channel, columns, Math.min(input.rows, TERMINAL_ROWS_MAX));
    }
    const code = this.#drops?.onInput();
    if (code !== undefined) return dropSocket(socket, code);
    this.events.onInput();
    this.#inputLine.push(input.bytes);
  }

  #write(bytes: Buffer): void {
    if (!this.#hasEnded) this.sandbox.write(this.#channel, bytes);
  }

  #output(bytes: Buffer): void {
    const socket = this.#socket;
    if (!socket || !this.#protocol || socket.readyState !== socket.OPEN) return this.#keep(bytes);
    socket.send(this.#protocol.encodeOutput(bytes), () => {
      if (this.#isPaused && socket.bufferedAmount < TERMINAL_SOCKET_LOW_BYTES) this.#pause(false);
    });
    if (socket.bufferedAmount > TERMINAL_SOCKET_HIGH_BYTES) this.#pause(true);
    const code = this.#drops?.afterOutput(bytes.length);
    if (code !== undefined) dropSocket(socket, code);
  }

  #keep(bytes: Buffer): void {
    this.#backlog.push(bytes);
    this.#backlogBytes += bytes.length;
    while (this.#backlogBytes > TERMINAL_BACKLOG_BYTES_MAX && this.#backlog.length > 1) {
      this.#backlogBytes -= this.#backlog.shift()?.length ?? 0;
    }
  }

  #pause(isPaused: boolean): void {
    if (this.#isPaused === isPaused) return;
    this.#isPaused = isPaused;
    this.sandbox.pause(this.#channel, isPaused);
  }
}

function toBuffer(data: Buffer | ArrayBuffer | Buffer[]): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}
