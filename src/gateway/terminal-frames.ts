/** The text frames of a person's terminal, as they are read and written. */
import { z } from 'zod';
import { InnkeeperError } from '../contracts/errors.js';
import { TERMINAL_COLUMNS_MAX, TERMINAL_CONTROL_BYTES_MAX, TERMINAL_ROWS_MAX } from '../contracts/limits.js';
import type { TerminalClientFrame, TerminalServerFrame } from '../contracts/terminal.js';

const columns = z.int().min(1).max(TERMINAL_COLUMNS_MAX);
const rows = z.int().min(1).max(TERMINAL_ROWS_MAX);

const clientFrame: z.ZodType<TerminalClientFrame> = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('resize'), columns, rows }),
  z.strictObject({ type: z.literal('hand_back') }),
]);

/** @throws InnkeeperError INVALID_INPUT */
export function parseClientFrame(data: Uint8Array): TerminalClientFrame {
  const parsed = data.length > TERMINAL_CONTROL_BYTES_MAX ? undefined : clientFrame.safeParse(parseJson(data));
  if (parsed?.success === true) return parsed.data;
  const message = 'A text frame is {"type":"resize","columns":…,"rows":…} or {"type":"hand_back"}; keys are binary.';
  throw new InnkeeperError('INVALID_INPUT', message);
}

export function formatServerFrame(frame: TerminalServerFrame): string {
  return JSON.stringify(frame);
}

function parseJson(data: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(data).toString('utf8'));
  } catch {
    return undefined; // No frame of ours either.
  }
}
