/**
 * What is written to a terminal, until it is certain which protocol its server speaks: held for the server's first frame; after a
 * while sent by a guess; sent again in the right protocol when the guess turns out wrong, since the server did not understand it.
 */
import type { TerminalSize } from '../provider.js';
import { encodeInput, encodeResize, type TerminalProtocol } from './terminal-wire.js';

/** How long input is held for the server's first frame, with a configured protocol and without one. */
const FIRST_FRAME_WAIT_MS = 300;
const FIRST_FRAME_WAIT_AUTO_MS = 1_000;
/** Input sent by a guess that is kept to be sent again. */
const GUESSED_BYTES_MAX = 64 * 1024;

export interface TerminalInput {
  write(bytes: Uint8Array): void;
  /** Of several that wait only the last one counts. */
  resize(size: TerminalSize): void;
  /** A frame of the server came, in this protocol. True where it shows that a guess was wrong. */
  hear(found: TerminalProtocol): boolean;
  /** Waiting to be sent. */
  readonly heldBytes: number;
  stop(): void;
}

export function createTerminalInput(
  configured: 'auto' | TerminalProtocol,
  send: (frame: Uint8Array | string) => void,
): TerminalInput {
  let protocol: TerminalProtocol | undefined;
  let isCertain = false;
  let uncertain: Uint8Array[] = [];
  let uncertainBytes = 0;
  let size: TerminalSize | undefined;

  function settle(): void {
    isCertain = true;
    uncertain = [];
    uncertainBytes = 0;
  }

  function sendAll(as: TerminalProtocol): void {
    protocol = as;
    if (size !== undefined) send(encodeResize(as, size));
    for (const bytes of uncertain) send(encodeInput(as, bytes));
  }

  const timer = setTimeout(
    () => sendAll(configured === 'auto' ? 'J' : configured), // J is the protocol of the specification.
    configured === 'auto' ? FIRST_FRAME_WAIT_AUTO_MS : FIRST_FRAME_WAIT_MS,
  );

  return {
    write(bytes) {
      if (!isCertain) {
        uncertain.push(Uint8Array.from(bytes));
        uncertainBytes += bytes.length;
      }
      if (protocol === undefined) return;
      send(encodeInput(protocol, bytes));
      if (uncertainBytes > GUESSED_BYTES_MAX) settle();
    },
    resize(next) {
      size = next;
      if (protocol !== undefined) send(encodeResize(protocol, next));
    },
    hear(found) {
      if (isCertain) return false;
      clearTimeout(timer);
      const wasWrong = protocol !== undefined && protocol !== found;
      if (protocol !== found) sendAll(found);
      settle();
      return wasWrong;
    },
    get heldBytes() {
      return protocol === undefined ? uncertainBytes : 0;
    },
    stop() {
      clearTimeout(timer);
      settle();
    },
  };
}
