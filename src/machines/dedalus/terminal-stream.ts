/** One open terminal socket as the port's byte stream: both protocols read, a dead peer noticed, one end. */
import type { WebSocket } from 'ws';
import { InnkeeperError } from '../../contracts/errors.js';
import type { Terminal } from '../provider.js';
import { createTerminalInput } from './terminal-input.js';
import { decodeServerFrame, type TerminalProtocol } from './terminal-wire.js';

/** A peer that answers no ping within this is gone, whatever TCP still believes. */
const PING_INTERVAL_MS = 15_000;
/** Input waiting to leave, and output nobody listens to yet. */
const OUTGOING_BYTES_MAX = 4 * 1024 * 1024;
const UNHEARD_BYTES_MAX = 4 * 1024 * 1024;
const CLOSE_WAIT_MS = 1_000;

export interface TerminalStreamOptions {
  readonly terminalId: string;
  readonly protocol: 'auto' | TerminalProtocol;
  readonly redact: (text: string) => string;
  /** Asks the provider to end the shell; never rejects. */
  readonly endShell: () => Promise<void>;
}

/** Takes over a socket that is open. */
export function createTerminalStream(socket: WebSocket, options: TerminalStreamOptions): Terminal {
  const input = createTerminalInput(options.protocol, (frame) => socket.send(frame));
  let listener: ((bytes: Uint8Array) => void) | undefined;
  let unheard: Uint8Array[] = [];
  let unheardBytes = 0;
  let isPeerAlive = true;
  let lastWords = '';

  const closed = new Promise<{ code: number | undefined; reason: string }>((resolve) => {
    socket.once('close', (code: number, reason: Buffer) => {
      input.stop();
      clearInterval(pingTimer);
      resolve({
        code: code === 1005 || code === 1006 ? undefined : code,
        reason: options.redact(lastWords || reason.toString('utf8')),
      });
    });
  });
  socket.on('error', (error) => {
    lastWords = error.message; // The close event follows and ends the stream.
  });

  const unsentBytes = (): number => socket.bufferedAmount + input.heldBytes;

  function emit(bytes: Uint8Array): void {
    if (listener !== undefined) return listener(bytes);
    unheardBytes += bytes.length;
    if (unheardBytes > UNHEARD_BYTES_MAX) return end('Nobody listens to the terminal.');
    unheard.push(bytes);
  }

  function end(reason: string): void {
    lastWords = lastWords || reason;
    socket.resume(); // Else the peer's word of the end would not be taken.
    socket.close(1000);
    setTimeout(() => socket.terminate(), CLOSE_WAIT_MS).unref();
  }

  socket.on('message', (data: Buffer, isBinary: boolean) => {
    isPeerAlive = true;
    const { frame, protocol: found } = decodeServerFrame(data, isBinary);
    if (input.hear(found) && frame.kind === 'error') return; // It complains about what we said in the wrong protocol.
    if (frame.kind === 'output') emit(frame.bytes);
    else if (frame.kind === 'closed') end('The shell has ended.');
    else if (frame.kind === 'error') end(`${frame.code} ${frame.message}`.trim());
  });
  socket.on('pong', () => {
    isPeerAlive = true;
  });

  const pingTimer = setInterval(() => {
    // Its answers are not taken either.
    if (socket.isPaused) return;
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
      if (unsentBytes() + bytes.length > OUTGOING_BYTES_MAX) {
        throw new InnkeeperError('GUEST_UNREACHABLE', 'The terminal of the machine takes no more input.');
      }
      input.write(bytes);
    },
    get unsentBytes() {
      return unsentBytes();
    },
    resize(size) {
      if (socket.readyState === socket.OPEN) input.resize(size);
    },
    pause(isPaused) {
      if (socket.readyState !== socket.OPEN) return;
      // Whoever was not asked for long may live all the same.
      isPeerAlive = true;
      if (isPaused) socket.pause();
      else socket.resume();
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
