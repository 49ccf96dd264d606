/**
 * The two frame formats of a terminal's socket, as pure functions. D: bytes as binary frames. J: JSON text frames with base64.
 * Which one a server speaks shows in its first frame; on receipt both are understood at any time.
 */
import type { TerminalSize } from '../provider.js';
import { isRecord } from './transport.js';

export type TerminalProtocol = 'D' | 'J';

export type ServerFrame =
  | { readonly kind: 'output'; readonly bytes: Uint8Array }
  | { readonly kind: 'closed' }
  | { readonly kind: 'error'; readonly code: string; readonly message: string }
  | { readonly kind: 'other' };

/** Frame that carries keystrokes. */
export function encodeInput(protocol: TerminalProtocol, bytes: Uint8Array): Uint8Array | string {
  return protocol === 'D' ? bytes : JSON.stringify({ type: 'input', data: Buffer.from(bytes).toString('base64') });
}

/** Frame that tells the size of the window; text in both protocols. */
export function encodeResize(protocol: TerminalProtocol, { columns, rows }: TerminalSize): string {
  const size = protocol === 'D' ? { cols: columns, rows } : { type: 'resize', width: columns, height: rows };
  return JSON.stringify(size);
}

/** Reads a frame of the server, and which protocol it speaks; text that is not JSON is output of a D server. */
export function decodeServerFrame(
  data: Uint8Array,
  isBinary: boolean,
): { frame: ServerFrame; protocol: TerminalProtocol } {
  if (isBinary) return { frame: { kind: 'output', bytes: data }, protocol: 'D' };
  const message = parseTyped(Buffer.from(data).toString('utf8'));
  if (message === undefined) return { frame: { kind: 'output', bytes: data }, protocol: 'D' };
  return { frame: toFrame(message), protocol: 'J' };
}

function toFrame(message: Record<string, unknown>): ServerFrame {
  switch (message['type']) {
    case 'output':
      return { kind: 'output', bytes: Buffer.from(toText(message['data']), 'base64') };
    case 'closed':
      return { kind: 'closed' };
    case 'error':
      return { kind: 'error', code: toText(message['error_code']), message: toText(message['error_message']) };
    default:
      return { kind: 'other' };
  }
}

function parseTyped(text: string): Record<string, unknown> | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) && typeof value['type'] === 'string' ? value : undefined;
  } catch {
    return undefined; // Not JSON: raw output of the shell, which the caller passes on.
  }
}

function toText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
