/** The runner's verbs as request lines; both channels send the same. */
import { TERM_GRACE_MS_DEFAULT } from './bounds.js';
import type { GuestCommand } from './guest.js';
import { encodeField, encodeLine, journalName } from './wire.js';

/** Submits unless the journal knows the command; answers where it stands. */
export function runLine(
  tag: string,
  command: GuestCommand,
  options: { readonly submittedBootId: string | undefined; readonly liveOffset: number | undefined },
): Buffer {
  return encodeLine(tag, [
    'run',
    journalName(command.cmdId),
    command.bodyHash,
    options.submittedBootId ?? '-',
    String(Math.max(1, Math.round(command.timeoutMs))),
    String(command.outputHeadBytes),
    String(command.outputTailBytes),
    String(TERM_GRACE_MS_DEFAULT),
    liveField(options.liveOffset),
    encodeField(command.historyLine ?? ''),
    encodeField(command.script),
  ]);
}

/** How the runner sends kept output: as it is, in base64, or not at all. */
export type OutputEncoding = 'raw' | 'b64' | 'none';

/** Asks where the command stands; `liveOffset`: from where its output is wanted as it comes. */
export function statusLine(
  tag: string,
  name: string,
  options: { readonly bootId: string; readonly encoding: OutputEncoding; readonly liveOffset?: number | undefined },
): Buffer {
  return encodeLine(tag, ['status', name, options.bootId, options.encoding, liveField(options.liveOffset)]);
}

function liveField(offset: number | undefined): string {
  return offset === undefined ? '-' : String(offset);
}

/** Asks for a piece of the kept output. */
export function partLine(tag: string, name: string, range: { offset: number; bytes: number }): Buffer {
  return encodeLine(tag, ['part', name, String(range.offset), String(range.bytes)]);
}

/** Ends the command, or makes sure that it never starts. */
export function stopLine(
  tag: string,
  name: string,
  options: { readonly submittedBootId: string | undefined; readonly graceMs?: number },
): Buffer {
  const graceMs = Math.max(0, Math.round(options.graceMs ?? TERM_GRACE_MS_DEFAULT));
  return encodeLine(tag, ['stop', name, options.submittedBootId ?? '-', String(graceMs)]);
}

export function helloLine(tag: string): Buffer {
  return encodeLine(tag, ['hello', '-']);
}
