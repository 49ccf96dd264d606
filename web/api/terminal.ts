/** The WebSocket of a person's terminal: the credential goes among the subprotocols, since a page sets no headers there. */
import { TERMINAL_BEARER, TERMINAL_PROTOCOL } from '../../src/contracts/terminal.js';

export interface TerminalAsk {
  readonly columns: number;
  readonly rows: number;
  /** Of a terminal that was theirs. */
  readonly lease: string | null;
}

/** Throws where the credential cannot be sent that way. */
export type OpenTerminal = (userId: string, ask: TerminalAsk) => WebSocket;

/** @param where `base`: the page's own address, absolute */
export function createOpenTerminal({ base, secret }: { readonly base: string; readonly secret: string }): OpenTerminal {
  return (userId, { columns, rows, lease }) => {
    const url = new URL(`v1/users/${encodeURIComponent(userId)}/terminal`, base);
    url.protocol = url.protocol.replace('http', 'ws');
    url.search = `?columns=${columns}&rows=${rows}${lease === null ? '' : `&lease=${encodeURIComponent(lease)}`}`;
    const socket = new WebSocket(url, [TERMINAL_PROTOCOL, TERMINAL_BEARER + secret]);
    socket.binaryType = 'arraybuffer';
    return socket;
  };
}
