/** What the model is told of a command that is over: its output as plain text, shortened in the middle, and how it ended. */
import { MODEL_OUTPUT_BYTES_MAX } from '../contracts/limits.js';
import { stripControl } from './strip-control.js';
import type { CommandOutput, CommandResult, CommandStatus, VoidReason } from './guest.js';

/** Kept free for the lines about the end and the omission. */
const NOTES_BYTES = 512;

const VOID_WORDS: Readonly<Record<VoidReason, string>> = {
  stopped_before_start: 'The command was cancelled before it began: it did not run.',
  runner_died:
    'It is unknown how the command ended: what ran it on the machine died. It was stopped, and is not run again. Check what it did before you go on.',
  boot_changed:
    'It is unknown how the command ended: the machine was restarted while it ran. It is not run again. Check what it did before you go on.',
  disk_rolled_back:
    'It is unknown whether the command ran: the machine was restarted and knows nothing of it. It is not run again. Check before you go on.',
};

/** At most MODEL_OUTPUT_BYTES_MAX bytes of UTF-8. */
export function renderStatus(status: Extract<CommandStatus, { kind: 'finished' | 'void' }>): string {
  if (status.kind === 'finished') return renderOutput(status.result);
  const output = renderBytes(status.output, MODEL_OUTPUT_BYTES_MAX - NOTES_BYTES);
  return output === '' ? VOID_WORDS[status.reason] : `${output}\n[${VOID_WORDS[status.reason]}]`;
}

/** The output of a command, then one line in brackets about its end. At most MODEL_OUTPUT_BYTES_MAX bytes. */
export function renderOutput(result: CommandResult): string {
  const output = renderBytes(result.output, MODEL_OUTPUT_BYTES_MAX - NOTES_BYTES);
  return `${output === '' ? '' : `${output}\n`}[${output === '' ? 'no output, ' : ''}${endOf(result)}]`;
}

function endOf(result: CommandResult): string {
  const ending =
    result.exitCode === undefined ? `ended by ${result.signal ?? 'a signal'}` : `exit code ${result.exitCode}`;
  if (result.timedOut) return `stopped at its time limit, ${ending}`;
  if (result.stopped) return `cancelled, ${ending}`;
  return ending;
}

/** Output as text, with the number of bytes left out between its beginning and its end. */
function renderBytes(output: CommandOutput, bytesMax: number): string {
  const head = toText(output.head);
  const tail = toText(output.tail);
  const dropped = output.totalBytes - output.head.length - output.tail.length;
  if (dropped === 0) {
    const whole = toText(Buffer.concat([output.head, output.tail])).trimEnd();
    if (Buffer.byteLength(whole) <= bytesMax) return whole;
  }
  const all = dropped === 0 ? toText(Buffer.concat([output.head, output.tail])) : head;
  const beginning = firstBytes(all, bytesMax / 2);
  const ending = lastBytes(dropped === 0 ? all : tail === '' ? head : tail, bytesMax / 2).trimEnd();
  const shown = Buffer.byteLength(beginning) + Buffer.byteLength(ending);
  return `${beginning}\n[… ${Math.max(0, output.totalBytes - shown)} bytes left out …]\n${ending}`;
}

function toText(bytes: Uint8Array): string {
  return stripControl(new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes));
}

/** The longest beginning of the text within so many bytes of UTF-8, whole characters only. */
function firstBytes(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= bytesMax) return text;
  let end = Math.floor(bytesMax);
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}

function lastBytes(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= bytesMax) return text;
  let start = bytes.length - Math.floor(bytesMax);
  while (start < bytes.length && ((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1;
  return bytes.toString('utf8', start);
}
