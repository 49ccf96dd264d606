/** The wire between the attachment and the runner: lines in, framed records out. No I/O; runner.sh holds the other end. */
import { createHash } from 'node:crypto';
import { InnkeeperError } from '../contracts/errors.js';

const FIELD_SEPARATOR = '\u001f';
const FRAME_START = 0x1e;
const HEADER_END = 0x1f;
const BODY_END = 0x1d;
/** Longest header of a frame; more without its end is noise. */
const HEADER_BYTES_MAX = 4_096;
/** Longest body of a frame: head and tail of an output, in base64, with room. */
const BODY_BYTES_MAX = 4 * 1024 * 1024;

/** One record that the runner said. */
export interface Frame {
  readonly kind: string;
  /** The command's name in the journal, or "-". */
  readonly name: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** The command's name in the journal: its id where that is a safe file name, else a hash of it. */
export function journalName(cmdId: string): string {
  if (/^[A-Za-z0-9_][A-Za-z0-9_-]{0,119}$/.test(cmdId)) return cmdId;
  return `sha256-${createHash('sha256').update(cmdId).digest('hex')}`;
}

/** Text as one field without control characters, undone by `printf %b`. @throws INVALID_INPUT for a NUL character */
export function encodeField(text: string): string {
  if (text.includes('\0'))
    throw new InnkeeperError('INVALID_INPUT', 'A shell command cannot contain the NUL character.');
  // eslint-disable-next-line no-control-regex -- control characters are what is escaped
  return text.replace(/[\u0001-\u001f\u007f\\]/g, (character) => {
    if (character === '\\') return '\\\\';
    if (character === '\n') return '\\n';
    return `\\0${character.charCodeAt(0).toString(8).padStart(3, '0')}`;
  });
}

/**
 * One request as the runner reads it: marked at both ends and counted, so that a torn line is seen as such. The newline in front
 * ends whatever noise a torn line left behind.
 */
export function encodeLine(tag: string, fields: readonly string[]): Buffer {
  const body = [...fields, '.'].join(FIELD_SEPARATOR);
  return Buffer.from(`\n${tag} ${Buffer.byteLength(body)} ${body} ${tag}\n`);
}

/**
 * Finds frames of one tag in a stream of anything: prompts, echoes, torn and doubled pieces. A frame's length says where its
 * body ends, and its trailer proves it; where that fails the search goes on behind the frame's first byte.
 */
export class FrameReader {
  readonly #start: Buffer;
  readonly #trailer: Buffer;
  #pending: Buffer = Buffer.alloc(0);
  /** Bytes without which the frame that has begun cannot be complete: saves searching again at every piece. */
  #awaited = 0;

  constructor(tag: string) {
    this.#start = Buffer.concat([Buffer.from([FRAME_START]), Buffer.from(`${tag} `)]);
    this.#trailer = Buffer.concat([Buffer.from([BODY_END]), Buffer.from(tag)]);
  }

  #pieces: Buffer[] = [];
  #pieceBytes = 0;

  /** Takes what arrived; gives the frames that are complete by it. */
  push(bytes: Uint8Array): Frame[] {
    this.#pieces.push(Buffer.from(bytes));
    this.#pieceBytes += bytes.length;
    if (this.#pending.length + this.#pieceBytes < this.#awaited) return [];
    this.#pending = Buffer.concat([this.#pending, ...this.#pieces]);
    this.#pieces = [];
    this.#pieceBytes = 0;
    this.#awaited = 0;
    const frames: Frame[] = [];
    for (;;) {
      const at = this.#pending.indexOf(this.#start);
      if (at < 0) {
        this.#pending = this.#pending.subarray(Math.max(0, this.#pending.length - this.#start.length + 1));
        return frames;
      }
      this.#pending = this.#pending.subarray(at);
      const outcome = this.#readFrame();
      if (outcome === 'incomplete') return frames;
      if (outcome === 'noise') this.#pending = this.#pending.subarray(1);
      else frames.push(outcome);
    }
  }

  #readFrame(): Frame | 'incomplete' | 'noise' {
    const headerEnd = this.#pending.indexOf(HEADER_END);
    if (headerEnd < 0) return this.#pending.length > HEADER_BYTES_MAX ? 'noise' : 'incomplete';
    const [kind, name, ...tokens] = this.#pending
      .subarray(this.#start.length, headerEnd)
      .toString('latin1')
      .split(' ')
      .filter((token) => token !== '');
    const fields: Record<string, string> = {};
    for (const token of tokens) {
      const equals = token.indexOf('=');
      if (equals > 0) fields[token.slice(0, equals)] = token.slice(equals + 1);
    }
    const bodyBytes = Number(fields['body']);
    if (headerEnd > HEADER_BYTES_MAX || kind === undefined || name === undefined || !(bodyBytes <= BODY_BYTES_MAX)) {
      return 'noise';
    }
    const bodyStart = headerEnd + 1;
    const end = bodyStart + bodyBytes + this.#trailer.length;
    if (this.#pending.length < end) {
      this.#awaited = end;
      return 'incomplete';
    }
    if (!this.#pending.subarray(bodyStart + bodyBytes, end).equals(this.#trailer)) return 'noise';
    const raw = this.#pending.subarray(bodyStart, bodyStart + bodyBytes);
    const body = fields['enc'] === 'b64' ? Buffer.from(raw.toString('latin1'), 'base64') : Buffer.from(raw);
    this.#pending = this.#pending.subarray(end);
    return { kind, name, fields, body };
  }
}
