/** What files.sh says, read: lines that are ours, and bytes in base64 between them. Hostile by assumption: whatever it says is checked. */
import { InnkeeperError } from '../contracts/errors.js';

const MARK = 'innkeeper-files ';
const S_IFMT = 0o170000;
const KINDS: Readonly<Record<number, FolderEntry['kind']>> = { 0o100000: 'file', 0o040000: 'folder', 0o120000: 'link' };

export interface Answer {
  /** Of its last line before the end: a refusal comes behind what was said until then. */
  readonly words: readonly string[];
  readonly body: Buffer;
}

export interface FileAbout {
  readonly size: number;
  /** Permissions, such as 0644. */
  readonly mode: string;
  readonly modifiedAt: Date;
  /** Another one whenever the file is another, or was written to. */
  readonly stamp: string;
}

export interface FolderEntry {
  /** As it is on the disk: bytes. */
  readonly name: Buffer;
  readonly kind: 'file' | 'folder' | 'link' | 'other';
  readonly size: number;
  readonly mode: string;
  readonly modifiedAt: Date;
}

/** undefined: the answer was cut short. */
export function parseAnswer(stdout: string): Answer | undefined {
  const lines = stdout.split('\n').filter((line) => line !== '');
  const said = lines.filter((line) => line.startsWith(MARK)).map((line) => line.slice(MARK.length).split(' '));
  const words = said.at(-2);
  if (said.at(-1)?.[0] !== 'end' || words === undefined) return undefined;
  return { words, body: Buffer.from(lines.find((line) => !line.startsWith(MARK)) ?? '', 'base64') };
}

/** @throws InnkeeperError GUEST_UNREACHABLE where it is none */
export function toAbout([mode = '', size = '', modified = '', stamp = '']: readonly string[]): FileAbout {
  const about = { ...toMode(mode), size: Number(size), modifiedAt: toDate(modified), stamp };
  if (!STAMP.test(stamp) || about.kind !== 'file' || !isSize(size)) throw nonsense();
  return { size: about.size, mode: about.mode, modifiedAt: about.modifiedAt, stamp };
}

/** What a stamp is made of; it stands in headers. */
export const STAMP = /^[\d.-]{1,128}$/;

/** @throws InnkeeperError GUEST_UNREACHABLE where they are none */
export function toEntries(body: Buffer): FolderEntry[] {
  const entries: FolderEntry[] = [];
  for (let start = 0, end = body.indexOf(0); end >= 0; start = end + 1, end = body.indexOf(0, start)) {
    const record = body.subarray(start, end);
    const [, mode = '', size = '', modified = '', dot = ''] =
      /^([\da-f]+) (\d+) (-?[\d.]+) (\.\/)/.exec(record.toString('latin1')) ?? [];
    if (dot === '' || !isSize(size)) throw nonsense();
    const name = record.subarray(mode.length + size.length + modified.length + dot.length + 3);
    entries.push({ name, ...toMode(mode), size: Number(size), modifiedAt: toDate(modified) });
  }
  return entries;
}

function toMode(hex: string): { kind: FolderEntry['kind']; mode: string } {
  const bits = Number.parseInt(hex, 16);
  return { kind: KINDS[bits & S_IFMT] ?? 'other', mode: (bits & 0o7777).toString(8).padStart(4, '0') };
}

function isSize(text: string): boolean {
  return /^\d{1,15}$/.test(text);
}

/** Seconds with a fraction. A disk may hold any: what no calendar knows is the beginning of time. */
function toDate(seconds: string): Date {
  const at = new Date(Math.round(Number(seconds) * 1_000));
  return Number.isNaN(at.getTime()) ? new Date(0) : at;
}

function nonsense(): InnkeeperError {
  return new InnkeeperError('GUEST_UNREACHABLE', 'The machine answered something that tells of no file.');
}
