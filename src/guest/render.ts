/** What a command left -> text for the model and for people: decoded, without control sequences, head and tail (pure). */
import { stripVTControlCharacters } from 'node:util';
import { MODEL_OUTPUT_BYTES_MAX } from '../contracts/limits.js';
import type { CommandOutput, CommandStatus } from './guest.js';

type Over = Extract<CommandStatus, { kind: 'finished' | 'void' }>;

/** Output with its exit status, at most about MODEL_OUTPUT_BYTES_MAX bytes. */
export function renderStatus(status: Over): string {
  const output = renderOutput(status.kind === 'void' ? status.output : status.result.output);
  return output === '' ? statusLine(status) : `${output}\n${statusLine(status)}`;
}

function statusLine(status: Over): string {
  if (status.kind === 'void') return VOID_LINES[status.reason];
  const { exitCode, signal, stopped, timedOut } = status.result;
  const end = exitCode === undefined ? `ended by ${signal ?? 'a signal'}` : `exit status ${exitCode}`;
  if (stopped) return `[stopped before it was done, ${end}]`;
  if (timedOut) return `[stopped at its time limit, ${end}]`;
  return `[${end}]`;
}

const VOID_LINES: Readonly<Record<Extract<CommandStatus, { kind: 'void' }>['reason'], string>> = {
  stopped_before_start: '[stopped before it began: it did not run]',
  runner_died:
    '[outcome unknown: what watched it died. It may have run in part; it is not running any more and was not repeated]',
  boot_changed:
    '[outcome unknown: the machine restarted. It may have run in part; it is not running any more and was not repeated]',
  disk_rolled_back:
    '[outcome unknown: the disk went back in time. It may have run in part, its effects may be lost; it was not repeated]',
};

function renderOutput({ totalBytes, head, tail }: CommandOutput): string {
  const half = MODEL_OUTPUT_BYTES_MAX / 2;
  const kept = head.length + tail.length;
  if (kept === totalBytes && kept <= MODEL_OUTPUT_BYTES_MAX) return clean(Buffer.concat([head, tail]));
  const whole = kept === totalBytes ? Buffer.concat([head, tail]) : undefined;
  const first = (whole ?? head).subarray(0, half);
  const last = (whole ?? (tail.length > 0 ? tail : head)).subarray(-half);
  const omitted = totalBytes - first.length - last.length;
  return `${clean(first)}\n[… ${omitted} bytes left out …]\n${clean(last)}`;
}

/** Terminal sequences and control characters carry nothing for a reader and may fool one. */
function clean(bytes: Uint8Array): string {
  const text = stripVTControlCharacters(new TextDecoder().decode(bytes)).replaceAll('\r\n', '\n');
  // eslint-disable-next-line no-control-regex -- control characters are what is removed
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/gu, '').replace(/\n$/u, '');
}
