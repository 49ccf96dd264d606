/** What paths and headers of requests about files mean, and the headers that go back. */
import type { IncomingHttpHeaders } from 'node:http';
import { InnkeeperError } from '../contracts/errors.js';
import { FILE_NAME_BYTES_MAX, FILE_PATH_BYTES_MAX } from '../contracts/limits.js';
import { STAMP, type FileAbout } from '../guest/file-answers.js';
import type { Wanted } from '../guest/files.js';
import { BYTES_TYPE } from './bytes.js';

/**
 * A path that a machine may be asked for. What leads out of the home directory is refused there once more, where links are seen.
 * @throws InnkeeperError PATH_REFUSED
 */
export function toPath(path: string): string {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  const problem =
    (path.includes('\0') && 'The path has a NUL character.') ||
    (names.includes('..') && 'The path has "..".') ||
    (Buffer.byteLength(path) > FILE_PATH_BYTES_MAX && `The path has more than ${FILE_PATH_BYTES_MAX} bytes.`) ||
    (names.some((name) => Buffer.byteLength(name) > FILE_NAME_BYTES_MAX) &&
      `A name in the path has more than ${FILE_NAME_BYTES_MAX} bytes.`);
  if (problem !== false) throw new InnkeeperError('PATH_REFUSED', problem);
  return path;
}

/** The same of a file that is to be written: what ends with a slash is a folder. @throws InnkeeperError PATH_REFUSED */
export function toFilePath(path: string): string {
  if (path.endsWith('/')) throw new InnkeeperError('PATH_REFUSED', 'The path names a folder.');
  return toPath(path);
}

/** @throws InnkeeperError INVALID_INPUT where bytes of the query are no UTF-8: they would be taken for other ones */
export function assertDecodable(url: string): void {
  try {
    decodeURIComponent(url.slice(url.indexOf('?') + 1));
  } catch (error) {
    throw new InnkeeperError('INVALID_INPUT', 'The query is not UTF-8 in percent-encoding.', { cause: error });
  }
}

export const toEtag = ({ stamp }: FileAbout): string => `"${stamp}"`;

/** Of a write. @throws InnkeeperError INVALID_INPUT */
export function toWanted(headers: Pick<IncomingHttpHeaders, 'if-match' | 'if-none-match'>): Wanted {
  const { 'if-match': match, 'if-none-match': noneMatch } = headers;
  if (noneMatch !== undefined) {
    if (noneMatch.trim() === '*' && match === undefined) return 'absent';
    throw new InnkeeperError('INVALID_INPUT', 'A write takes if-none-match as "*", and without if-match.');
  }
  if (match === undefined) return 'any';
  if (match.trim() === '*') return 'present';
  // Weak ones match nothing here, and neither do those that were never ours.
  const stamps = tagsOf(match).flatMap((tag) =>
    tag.startsWith('"') && STAMP.test(unquoted(tag)) ? [unquoted(tag)] : [],
  );
  return { stamps };
}

/** Whether a reader has the file as it is. */
export function isKnown(noneMatch: string | undefined, etag: string): boolean {
  if (noneMatch === undefined) return false;
  return noneMatch.trim() === '*' || tagsOf(noneMatch).some((tag) => tag.replace(/^W\//, '') === etag);
}

/** The range that is asked for; where the reader has a part of another file, the whole is. */
export function wantedRange(
  headers: { readonly range?: string | undefined; 'if-range'?: string | undefined },
  etag: string,
) {
  const { range, 'if-range': ifRange } = headers;
  return ifRange === undefined || ifRange.trim() === etag ? range : undefined;
}

export function headersOf(about: FileAbout): Record<string, string> {
  return {
    etag: toEtag(about),
    'last-modified': about.modifiedAt.toUTCString(),
    'accept-ranges': 'bytes',
    'cache-control': 'private, no-cache',
  };
}

/** Hostile by assumption: never shown by a browser as anything of ours. */
export function contentHeadersOf(path: string): Record<string, string> {
  const name = path.split('/').findLast((each) => each !== '') ?? '';
  const plain = name.replace(/[^\w.-]/g, '_');
  const exact = encodeURIComponent(name).replace(
    /['()*]/g,
    (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return {
    'content-type': BYTES_TYPE,
    'content-disposition': `attachment; filename="${plain}"; filename*=UTF-8''${exact}`,
    'x-content-type-options': 'nosniff',
  };
}

function tagsOf(list: string): string[] {
  return list.match(/(W\/)?"[^"]*"/g) ?? [];
}

function unquoted(tag: string): string {
  return tag.slice(1, -1);
}
