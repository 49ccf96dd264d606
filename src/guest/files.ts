/**
 * Files of a machine: what files.sh does there, one execution a verb, bytes by pieces that stay below what an execution may print. Reads
 * and writes of pieces may be repeated; a file that grows is in nobody's way until it is whole.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { InnkeeperError, type ErrorCode } from '../contracts/errors.js';
import {
  FILE_EXECUTION_MS_MAX,
  FILE_PIECE_BYTES,
  FILE_PIECE_BYTES_MIN,
  FILE_PIECES_PARALLEL_MAX,
  FOLDER_ENTRIES_MAX,
} from '../contracts/limits.js';
import type { MachineProvider } from '../machines/provider.js';
import { inOrder } from './in-order.js';
import { parseAnswer, toAbout, toEntries, type Answer, type FileAbout, type FolderEntry } from './file-answers.js';

const REPEATS_MAX = 3;
const REPEAT_MS = 200;

/** Where the files are. */
export interface FilesOf {
  readonly machines: Pick<MachineProvider, 'execute'>;
  readonly machineId: string;
  /** Ends the work; what was begun on the machine runs to its end. */
  readonly signal: AbortSignal;
}

/** What a file has to be for a write: anything; not there; there; there with one of these stamps. */
export type Wanted = 'any' | 'absent' | 'present' | { readonly stamps: readonly string[] };

export interface Folder {
  readonly entries: readonly FolderEntry[];
  /** Of all pages. */
  readonly count: number;
  readonly hasMore: boolean;
}

export interface OpenedFile {
  readonly about: FileAbout;
  /** Its first bytes, as many as were asked for with it. */
  readonly first: Buffer;
}

export interface Written {
  readonly about: FileAbout;
  /** False: it took the place of another. */
  readonly isNew: boolean;
}

/**
 * Paths are relative to the home directory or absolute within it, without NUL. Beyond what its comment names every verb throws what `execute`
 * throws, PATH_REFUSED, FILE_UNKNOWN, FILE_WRONG_KIND and GUEST_UNREACHABLE.
 */
export interface Files {
  /** A page of a folder in the order of the names' bytes, behind the name `after`. @throws FOLDER_TOO_LARGE */
  list(of: FilesOf, page: { path: string; after: Buffer; limit: number }): Promise<Folder>;
  /** Looks at a file, and reads its first bytes with it. */
  open(of: FilesOf, file: { path: string; bytes: number }): Promise<OpenedFile>;
  /** Bytes from `start` to before `end` of the file that was looked at. @throws FILE_CHANGED where it is another by now */
  read(of: FilesOf, file: { path: string; about: FileAbout; start: number; end: number }): AsyncIterable<Buffer>;
  /**
   * Puts a whole file in place in one step; folders on the way are made. Where this throws nothing is there that was not before.
   * @throws PRECONDITION_FAILED, DISK_FULL; what `content` throws
   */
  write(of: FilesOf, file: { path: string; content: AsyncIterable<Uint8Array>; wanted: Wanted }): Promise<Written>;
  /** Deletes a file, a link, or a folder: an empty one, or with all that is in it. @throws FOLDER_NOT_EMPTY */
  remove(of: FilesOf, file: { path: string; isRecursive: boolean }): Promise<void>;
}

/** Reads the script once; nothing is sent before the first call. */
export function createFiles({ newKey }: { readonly newKey: () => string }): Files {
  const script = readFileSync(new URL('./files.sh', import.meta.url), 'utf8');
  /** Shrinks where answers of a provider come cut short. */
  let pieceBytes = FILE_PIECE_BYTES;

  /** One execution; undefined: its answer was cut short. */
  async function ask(of: FilesOf, args: readonly string[], stdin?: string): Promise<Answer | undefined> {
    const request = {
      argv: ['/bin/bash', '-c', script, 'innkeeper', ...args],
      ...(stdin === undefined ? {} : { stdin }),
      timeoutMs: FILE_EXECUTION_MS_MAX,
    };
    let idempotencyKey = newKey();
    for (let repeats = 0; ; repeats += 1) {
      try {
        const result = await of.machines.execute(of.machineId, request, { idempotencyKey, signal: of.signal });
        return parseAnswer(result.stdout);
      } catch (error) {
        if (!InnkeeperError.is(error) || repeats >= REPEATS_MAX) throw error;
        // The same key again finds what was begun; a key whose command never ran is spent.
        if (error.details?.['refused'] === true) idempotencyKey = newKey();
        else if (error.code !== 'PROVIDER_UNAVAILABLE' && error.code !== 'PROVIDER_RATE_LIMITED') throw error;
        await delay(error.retryAfterMs ?? REPEAT_MS * 2 ** repeats, undefined, { signal: of.signal });
      }
    }
  }

  async function call(of: FilesOf, args: readonly string[], stdin?: string): Promise<Answer> {
    const answer = await ask(of, args, stdin);
    if (answer === undefined) throw unreachable();
    if (answer.words[0] === 'refused') throw toError(answer.words[1] ?? '');
    return answer;
  }

  async function open(of: FilesOf, { path, bytes }: { path: string; bytes: number }): Promise<OpenedFile> {
    const wanted = Math.min(bytes, pieceBytes);
    const answer = await ask(of, ['read', path, '0', String(wanted)]);
    if (answer === undefined && wanted > 0) return open(of, { path, bytes: 0 });
    if (answer === undefined) throw unreachable();
    if (answer.words[0] === 'refused') throw toError(answer.words[1] ?? '');
    const about = toAbout(answer.words.slice(1));
    if (answer.body.length !== Math.min(wanted, about.size)) throw toError('changed');
    return { about, first: answer.body };
  }

  /** A part of the file; in halves where the answer does not hold it. */
  async function piece(of: FilesOf, file: Part): Promise<Buffer> {
    const { path, about, offset, bytes } = file;
    const answer = await ask(of, ['read', path, String(offset), String(bytes)]);
    if (answer === undefined) {
      if (bytes <= FILE_PIECE_BYTES_MIN) throw unreachable();
      const half = Math.ceil(bytes / 2);
      pieceBytes = Math.min(pieceBytes, half);
      const first = await piece(of, { ...file, bytes: half });
      return Buffer.concat([first, await piece(of, { ...file, offset: offset + half, bytes: bytes - half })]);
    }
    // Whatever is there in its place, it is not what the reader has the beginning of.
    const isSame = answer.words[0] === 'file' && toAbout(answer.words.slice(1)).stamp === about.stamp;
    if (!isSame || answer.body.length !== bytes) throw toError('changed');
    return answer.body;
  }

  return {
    async list(of, { path, after, limit }) {
      const answer = await call(of, [
        ...['list', path, after.toString('base64')],
        ...[String(limit), String(FOLDER_ENTRIES_MAX)],
      ]);
      const [, count = '', hasMore] = answer.words;
      return { entries: toEntries(answer.body), count: Number(count), hasMore: hasMore === '1' };
    },
    open,
    read: (of, { path, about, start, end }) =>
      inOrder(partsOf({ path, about, start, end }, pieceBytes), FILE_PIECES_PARALLEL_MAX, (part) => piece(of, part)),
    async write(of, { path, content, wanted }) {
      const id = `upload-${randomUUID()}`;
      const condition = toCondition(wanted);
      const [, identity = '', kind] = (await call(of, ['begin', path, id, condition])).words;
      const hash = createHash('sha256');
      let size = 0;
      try {
        const pieces = inOrder(toPieces(content, FILE_PIECE_BYTES), FILE_PIECES_PARALLEL_MAX, (bytes) => {
          const offset = size;
          hash.update(bytes);
          size += bytes.length;
          return call(of, ['piece', id, String(offset)], bytes.toString('base64'));
        });
        for await (const { words } of pieces) if (words[0] !== 'piece') throw unreachable();
        const whole = ['commit', path, id, identity, String(size), hash.digest('hex'), condition];
        const { words } = await call(of, whole);
        return { about: toAbout(words.slice(1)), isNew: kind === 'none' };
      } catch (error) {
        // Once the work is over, whatever ended it. What cannot be removed now is swept by a later upload.
        await call({ ...of, signal: AbortSignal.timeout(FILE_EXECUTION_MS_MAX) }, ['abort', id]).catch(() => undefined);
        throw error;
      }
    },
    async remove(of, { path, isRecursive }) {
      await call(of, ['delete', path, isRecursive ? '1' : '0']);
    },
  };
}

interface Part {
  readonly path: string;
  readonly about: FileAbout;
  readonly offset: number;
  readonly bytes: number;
}

interface Span {
  readonly path: string;
  readonly about: FileAbout;
  readonly start: number;
  readonly end: number;
}

function* partsOf({ path, about, start, end }: Span, bytesMax: number): Generator<Part> {
  for (let offset = start; offset < end; offset += bytesMax) {
    yield { path, about, offset, bytes: Math.min(bytesMax, end - offset) };
  }
}

/** The same bytes in pieces of one size, the last one aside. */
async function* toPieces(content: AsyncIterable<Uint8Array>, bytesMax: number): AsyncGenerator<Buffer> {
  let waiting: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of content) {
    waiting.push(chunk);
    length += chunk.length;
    if (length < bytesMax) continue;
    const bytes = Buffer.concat(waiting);
    const whole = length - (length % bytesMax);
    for (let at = 0; at < whole; at += bytesMax) yield bytes.subarray(at, at + bytesMax);
    waiting = [bytes.subarray(whole)];
    length -= whole;
  }
  if (length > 0) yield Buffer.concat(waiting);
}

function toCondition(wanted: Wanted): string {
  return typeof wanted === 'string' ? wanted : `is:${wanted.stamps.join(',')}`;
}

/** Words of files.sh. */
const REFUSALS: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  outside: ['PATH_REFUSED', 'The path leads out of the home directory.'],
  reserved: ['PATH_REFUSED', 'The folder .innkeeper is not to be reached.'],
  home: ['PATH_REFUSED', 'The home directory itself cannot be deleted.'],
  missing: ['FILE_UNKNOWN', 'There is no such file or folder.'],
  link: ['FILE_WRONG_KIND', 'A symbolic link stands in the path: it is not followed.'],
  file: ['FILE_WRONG_KIND', 'A file stands where a folder was expected.'],
  folder: ['FILE_WRONG_KIND', 'It is a folder, where a file was expected.'],
  other: ['FILE_WRONG_KIND', 'It is neither a file nor a folder.'],
  elsewhere: ['FILE_WRONG_KIND', 'Another file system is mounted there: nothing can be put in place in one step.'],
  crowded: ['FOLDER_TOO_LARGE', `The folder has more than ${FOLDER_ENTRIES_MAX} entries.`],
  occupied: ['FOLDER_NOT_EMPTY', 'The folder is not empty.'],
  unmet: ['PRECONDITION_FAILED', 'What is there is not what the request expected.'],
  changed: ['FILE_CHANGED', 'The file changed while it was read.'],
  full: ['DISK_FULL', 'The disk of the machine did not take the file.'],
};

function toError(word: string): InnkeeperError {
  const known = REFUSALS[word];
  return known === undefined ? unreachable() : new InnkeeperError(...known);
}

function unreachable(): InnkeeperError {
  return new InnkeeperError('GUEST_UNREACHABLE', 'The machine could not do it, or its answer was cut short.');
}
