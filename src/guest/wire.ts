/** The wire between the attachment and the runner: lines in, framed records out. No I/O; runner.sh holds the other end. */
import { createHash } from 'node:crypto';
import { InnkeeperError } from '../contracts/errors.js';
import { ByteQueue } from './byte-queue.js';

const FIELD_SEPARATOR = '\u001f';
const FRAME_START = 0x1e;
const HEADER_END = 0x1f;
const BODY_END = 0x1d;
/** Longest header of a frame; one that claims more is noise. */
const HEADER_BYTES_MAX = 4_096;
/** Longest body of a frame: head and tail of an output, in base64, with room. */
const BODY_BYTES_MAX = 4 * 1024 * 1024;
/** What a reader keeps of a frame that is not complete: start, header, body and trailer, with room for tags. */
export const HELD_BYTES_MAX = BODY_BYTES_MAX + HEADER_BYTES_MAX + 1_024;

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

/** A field that is a whole number as the runner prints one; undefined for anything else. */
export function readCount(fields: Frame['fields'], key: string): number | undefined {
  const text = fields[key] ?? '';
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/**
 * Finds frames of one tag in a stream of anything: prompts, echoes, torn and doubled pieces. A header is counted, and names its
 * command at both ends, so that none is read that lost bytes on its way or was joined out of two. A frame's length says where its
 * body ends, and its trailer proves it; where anything fails the search goes on behind the frame's first byte.
 */
export class FrameReader {
  readonly #start: Buffer;
  readonly #trailer: Buffer;
  readonly #pending = new ByteQueue();
  /** Bytes without which the frame that has begun cannot be complete: saves searching again at every piece. */
  #awaited = 0;

  constructor(tag: string) {
    this.#start = Buffer.concat([Buffer.from([FRAME_START]), Buffer.from(`${tag} `)]);
    this.#trailer = Buffer.concat([Buffer.from([BODY_END]), Buffer.from(tag)]);
  }

  /** Bytes of a frame that is not complete; at most HELD_BYTES_MAX between two pushes. */
  get heldBytes(): number {
    return this.#pending.length;
  }

  /** Takes what arrived; gives the frames that are complete by it. */
  push(bytes: Uint8Array): Frame[] {
    this.#pending.append(bytes);
    if (this.#pending.length < this.#awaited) return [];
    this.#awaited = 0;
    const frames: Frame[] = [];
    for (;;) {
      const at = this.#pending.view.indexOf(this.#start);
      if (at < 0) {
        this.#pending.drop(Math.max(0, this.#pending.length - this.#start.length + 1));
        return frames;
      }
      this.#pending.drop(at);
      const outcome = this.#readFrame();
      if (outcome === 'incomplete') return frames;
      if (outcome === 'noise') this.#pending.drop(1);
      else frames.push(outcome);
    }
  }

  #readFrame(): Frame | 'incomplete' | 'noise' {
    const header = this.#readHeader();
    if (typeof header === 'string') return header;
    const { kind, name, fields, bodyStart } = header;
    const bodyBytes = readCount(fields, 'body');
    if (bodyBytes === undefined || bodyBytes > BODY_BYTES_MAX) return 'noise';
    const bodyEnd = bodyStart + bodyBytes;
    const end = bodyEnd + this.#trailer.length;
    if (this.#pending.length < end) {
      this.#awaited = end;
      return 'incomplete';
    }
    const bytes = this.#pending.view;
    if (!bytes.subarray(bodyEnd, end).equals(this.#trailer)) return 'noise';
    const raw = bytes.subarray(bodyStart, bodyEnd);
    const body = fields['enc'] === 'b64' ? Buffer.from(raw.toString('latin1'), 'base64') : Buffer.from(raw);
    this.#pending.drop(end);
    return { kind, name, fields, body };
  }

  #readHeader(): (Omit<Frame, 'body'> & { readonly bodyStart: number }) | 'incomplete' | 'noise' {
    const bytes = this.#pending.view;
    const countStart = this.#start.length;
    const counted = /^(\d{0,4})(.?)/s.exec(bytes.toString('latin1', countStart, countStart + 5));
    const [, digits = '', behind = ''] = counted ?? [];
    if (behind === '') return 'incomplete';
    const headerBytes = Number(digits);
    if (behind !== ' ' || digits === '' || headerBytes > HEADER_BYTES_MAX) return 'noise';
    const headerStart = countStart + digits.length + 1;
    const headerEnd = headerStart + headerBytes;
    if (bytes.length <= headerEnd) return 'incomplete';
    if (bytes[headerEnd] !== HEADER_END) return 'noise';
    const [kind, name, ...tokens] = bytes
      .toString('latin1', headerStart, headerEnd)
      .split(' ')
      .filter((token) => token !== '');
    const fields: Record<string, string> = {};
    for (const token of tokens) {
      const equals = token.indexOf('=');
      if (equals > 0) fields[token.slice(0, equals)] = token.slice(equals + 1);
    }
    if (kind === undefined || name === undefined || fields['of'] !== name) return 'noise';
    return { kind, name, fields, bodyStart: headerEnd + 1 };
  }
}
