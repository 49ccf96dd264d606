/** The two wire protocols of terminal sockets: D (raw binary frames) and J (JSON frames with base64 data). */

export type TerminalInput =
  | { kind: 'input'; bytes: Buffer }
  | { kind: 'resize'; columns: number; rows: number }
  | { kind: 'invalid'; message: string };

export interface TerminalProtocol {
  encodeOutput(bytes: Buffer): Buffer | string;
  /** Frames sent before the close frame of an orderly end. */
  endFrames(): string[];
  /** Undefined where the protocol has no error frame. */
  encodeError(code: string, message: string): string | undefined;
  decode(data: Buffer, isBinary: boolean): TerminalInput;
}

function parseJson(data: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(data.toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function toResize(columns: unknown, rows: unknown): TerminalInput {
  const isSize = (value: unknown): value is number => Number.isInteger(value) && (value as number) > 0;
  if (isSize(columns) && isSize(rows)) return { kind: 'resize', columns, rows };
  return { kind: 'invalid', message: 'a size must be two positive integers' };
}

const protocolD: TerminalProtocol = {
  encodeOutput: (bytes) => bytes,
  endFrames: () => [],
  encodeError: () => undefined,
  decode: (data, isBinary) => {
    if (isBinary) return { kind: 'input', bytes: data };
    const frame = parseJson(data);
    return frame ? toResize(frame['cols'], frame['rows']) : { kind: 'invalid', message: 'text frames must be JSON' };
  },
};

const protocolJ: TerminalProtocol = {
  encodeOutput: (bytes) => JSON.stringify({ type: 'output', data: bytes.toString('base64') }),
  endFrames: () => [JSON.stringify({ type: 'closed' })],
  encodeError: (code, message) => JSON.stringify({ type: 'error', error_code: code, error_message: message }),
  decode: (data, isBinary) => {
    const frame = isBinary ? undefined : parseJson(data);
    if (!frame) return { kind: 'invalid', message: 'frames must be JSON objects in text frames' };
    if (frame['type'] === 'input' && typeof frame['data'] === 'string') {
      return { kind: 'input', bytes: Buffer.from(frame['data'], 'base64') };
    }
    if (frame['type'] === 'resize') return toResize(frame['width'], frame['height']);
    return { kind: 'invalid', message: 'the type must be input or resize' };
  },
};

export const TERMINAL_PROTOCOLS: Readonly<Record<'D' | 'J', TerminalProtocol>> = { D: protocolD, J: protocolJ };
