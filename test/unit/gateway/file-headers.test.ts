/** What paths and headers of requests about files mean; whatever a name holds, the headers that go back are headers. */
import { validateHeaderValue } from 'node:http';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  assertDecodable,
  contentHeadersOf,
  isKnown,
  toFilePath,
  toPath,
  toWanted,
  wantedRange,
} from '../../../src/gateway/file-headers.js';
import { FILE_PATH_BYTES_MAX } from '../../../src/contracts/limits.js';
import { runs } from '../../support/properties.js';

describe('a path', () => {
  it.each(['', '.', 'a', 'a/b', '/home/x/a', './a//b/', '...', 'a\nb', '..a', 'ü'.repeat(127)])(
    '%j goes to the machine',
    (path) => {
      expect(toPath(path)).toBe(path);
    },
  );

  it.each([
    '..',
    'a/..',
    '../a',
    './../a',
    'a\0b',
    'x'.repeat(256),
    'ü'.repeat(128),
    'a/'.repeat(FILE_PATH_BYTES_MAX / 2 + 1),
  ])('%j does not', (path) => {
    expect(() => toPath(path)).toThrow(expect.objectContaining({ code: 'PATH_REFUSED' }) as Error);
  });

  it('of a file has no slash at its end', () => {
    expect(toFilePath('a/b')).toBe('a/b');
    expect(() => toFilePath('a/b/')).toThrow(expect.objectContaining({ code: 'PATH_REFUSED' }) as Error);
  });

  it.each(['/f?path=%ff', '/f?path=%c0%ae', '/f?a=1&path=%', '/f?%80=1', '/f?path=%ed%a0%80'])(
    'in %s is no UTF-8',
    (url) => {
      expect(() => assertDecodable(url)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }) as Error);
    },
  );

  it.each(['/f', '/f?path=', '/f?path=%252e&x=%C3%BC+'])('in %s is', (url) => {
    expect(() => assertDecodable(url)).not.toThrow();
  });
});

describe('the name of what is sent', () => {
  it('makes headers, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (name) => {
        const headers = contentHeadersOf(`a/${name}`);
        for (const [header, value] of Object.entries(headers)) validateHeaderValue(header, value);
        expect(headers['content-disposition']).toMatch(
          /^attachment; filename="[\w.-]*"; filename\*=UTF-8''[^\s"';,]*$/,
        );
      }),
      runs(200),
    );
  });
});

describe('what a write expects', () => {
  it.each([
    [{}, 'any'],
    [{ 'if-none-match': ' * ' }, 'absent'],
    [{ 'if-match': '*' }, 'present'],
    [{ 'if-match': '"1-2-3.4-5.6", W/"7-8-9-0", "x y", "1-1-1-1"' }, { stamps: ['1-2-3.4-5.6', '1-1-1-1'] }],
    [{ 'if-match': 'nonsense' }, { stamps: [] }],
  ] as const)('by %j is %j', (headers, wanted) => {
    expect(toWanted(headers)).toEqual(wanted);
  });

  it.each([{ 'if-none-match': '"1-2"' }, { 'if-none-match': '*', 'if-match': '*' }])(
    'by %j is not understood',
    (headers) => {
      expect(() => toWanted(headers)).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }) as Error);
    },
  );
});

describe('what a reader has', () => {
  it.each([
    [undefined, false],
    ['*', true],
    ['"a", W/"b"', true],
    ['"a"', false],
    ['"bb"', false],
  ])('by %j is known: %s', (noneMatch, known) => {
    expect(isKnown(noneMatch, '"b"')).toBe(known);
  });

  it('is gone on with only where it is of the same file', () => {
    expect(wantedRange({ range: 'bytes=1-' }, '"b"')).toBe('bytes=1-');
    expect(wantedRange({ range: 'bytes=1-', 'if-range': '"b"' }, '"b"')).toBe('bytes=1-');
    expect(wantedRange({ range: 'bytes=1-', 'if-range': 'W/"b"' }, '"b"')).toBeUndefined();
    expect(wantedRange({ range: 'bytes=1-', 'if-range': 'Sat, 28 Nov 2026 00:00:00 GMT' }, '"b"')).toBeUndefined();
  });
});
