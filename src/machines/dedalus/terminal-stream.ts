/** One open terminal socket as the port's byte stream: protocol found out, input held until then, a dead peer noticed. */
import type { WebSocket } from 'ws';
import { InnkeeperError } from '../../contracts/errors.js';
import type { Terminal } from '../provider.js';
import { decodeServerFrame, encodeInput, encodeResize, type TerminalProtocol } from './terminal-wire.js';

/** How long input is held for the server's first frame, with a configured protocol and without one. */
const FIRST_FRAME_WAIT_MS = 300;
const FIRST_FRAME_WAIT_AUTO_MS = 1_000;
/** A peer that answers no ping within this is gone, whatever TCP still believes. */
const PING_INTERVAL_MS = 15_000;
/** Input waiting to leave, and output nobody listens to yet. */
const OUTGOING_BYTES_MAX = 4 * 1024 * 1024;
const UNHEARD_BYTES_MAX = 4 * 1024 * 1024;
const CLOSE_WAIT_MS = 1_000;

export interface TerminalStreamOptions {
  readonly terminalId: string;
  readonly columns: number;
  readonly rows: number;
  readonly protocol: 'auto' | TerminalProtocol;
  readonly redact: (text: string) => string;
  /** Asks the provider to end the shell; never rejects. */
  readonly endShell: () => Promise<void>;
}

/** Takes over a socket that is open. */
export function createTerminalStream(socket: WebSocket, options: TerminalStreamOptions): Terminal {
  let protocol: TerminalProtocol | undefined;
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let listener: ((bytes: Uint8Array) => void) | undefined;
  let unheard: Uint8Array[] = [];
  let unheardBytes = 0;
  let isPeerAlive = true;
  let lastWords = '';

  const closed = new Promise<{ code: number | undefined; reason: string }>((resolve) => {
    socket.once('close', (code: number, reason: Buffer) => {
      clearTimeout(firstFrameTimer);
      clearInterval(pingTimer);
      held = [];
      resolve({
        code: code === 1005 || code === 1006 ? undefined : code,
        reason: options.redact(lastWords || reason.toString('utf8')),
      });
    });
  });
  socket.on('error', (error) => {
    lastWords = error.message; // The close event follows and ends the stream.
  });

  function speak(found: TerminalProtocol): void {
    clearTimeout(firstFrameTimer);
    protocol = found;
    const waiting = held;
    held = [];
    heldBytes = 0;
    for (const bytes of waiting) socket.send(encodeInput(found, bytes));
  }

  function emit(bytes: Uint8Array): void {
    if (listener !== undefined) return listener(bytes);
    unheardBytes += bytes.length;
    if (unheardBytes > UNHEARD_BYTES_MAX) return end('Nobody listens to the terminal.');
    unheard.push(bytes);
  }

  function end(reason: string): void {
    lastWords = lastWords || reason;
    socket.close(1000);
    setTimeout(() => socket.terminate(), CLOSE_WAIT_MS).unref();
  }

  socket.on('message', (data: Buffer, isBinary: boolean) => {
    isPeerAlive = true;
    const { frame, protocol: found } = decodeServerFrame(data, isBinary);
    if (protocol === undefined || hasGuessed) {
      hasGuessed = false;
      speak(found);
    }
    if (frame.kind === 'output') emit(frame.bytes);
    else if (frame.kind === 'closed') end('The shell has ended.');
    else if (frame.kind === 'error') end(`${frame.code} ${frame.message}`.trim());
  });
  socket.on('pong', () => {
    isPeerAlive = true;
  });

  const configured = options.protocol === 'auto' ? undefined : options.protocol;
  if (configured !== undefined) socket.send(encodeResize(configured, options.columns, options.rows));
  let hasGuessed = false;
  const firstFrameTimer = setTimeout(
    () => {
      hasGuessed = true;
      speak(configured ?? 'J'); // A silent server: the protocol of the specification.
    },
    configured === undefined ? FIRST_FRAME_WAIT_AUTO_MS : FIRST_FRAME_WAIT_MS,
  );
  const pingTimer = setInterval(() => {
    if (!isPeerAlive) {
      lastWords = 'The peer does not answer.';
      return socket.terminate();
    }
    isPeerAlive = false;
    socket.ping();
  }, PING_INTERVAL_MS);
  socket.resume();

  return {
    terminalId: options.terminalId,
    closed,
    write(bytes) {
      if (socket.readyState !== socket.OPEN) {
        throw new InnkeeperError('GUEST_UNREACHABLE', 'The terminal of the machine is no longer open.');
      }
      if (socket.bufferedAmount + heldBytes + bytes.length > OUTGOING_BYTES_MAX) {
        throw new InnkeeperError('GUEST_UNREACHABLE', 'The terminal of the machine takes no more input.');
      }
      if (protocol !== undefined) return socket.send(encodeInput(protocol, bytes));
      held.push(Uint8Array.from(bytes));
      heldBytes += bytes.length;
    },
    onOutput(next) {
      listener = next;
      const waiting = unheard;
      unheard = [];
      unheardBytes = 0;
      for (const bytes of waiting) next(bytes);
    },
    async close() {
      end('Closed by us.');
      await Promise.all([closed, options.endShell()]);
    },
  };
}
