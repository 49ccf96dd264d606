/**
 * A person's terminal over a WebSocket: binary frames are bytes of the shell, both ways; text frames are one of these, as JSON. What is
 * said of a lease is in ISO 8601.
 */
import type { ErrorCode } from './errors.js';
import type { TerminalEnd } from './events.js';

/** The subprotocol; whoever connects offers it. */
export const TERMINAL_PROTOCOL = 'innkeeper.terminal.v1';
/** A browser sets no headers on a WebSocket: it offers its credential as one more subprotocol, behind this. */
export const TERMINAL_BEARER = 'bearer.';
/** Added to the HTTP status of an error: the code that the socket is closed with. */
export const TERMINAL_CLOSE_BASE = 4_000;

export type TerminalClientFrame =
  | { readonly type: 'resize'; readonly columns: number; readonly rows: number }
  /** The agent goes on from here. */
  | { readonly type: 'hand_back' };

export type TerminalServerFrame =
  /**
   * The keyboard is theirs. `leaseId` brings its holder back to this shell after a connection that broke; `isResumed` false: it is
   * a new one.
   */
  | {
      readonly type: 'taken';
      readonly leaseId: string;
      readonly holder: string;
      readonly until: string;
      readonly isResumed: boolean;
    }
  /** The lease was renewed. */
  | { readonly type: 'lease'; readonly until: string }
  /** It is over, and the socket is closed behind this. */
  | { readonly type: 'handed_back'; readonly reason: TerminalEnd; readonly directory: string | null }
  /** It did not come to be, or what was sent cannot be taken; the socket is closed behind this. */
  | { readonly type: 'error'; readonly code: ErrorCode; readonly message: string; readonly advice: string };
