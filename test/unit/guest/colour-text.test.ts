/**
 * Goal: output that is shown as it comes can do nothing to whoever looks at it, however it is cut into pieces. Method: a corpus of
 * sequences split at every byte, and hostile bytes at random.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createColourText } from '../../../src/guest/colour-text.js';
import { runs } from '../../support/properties.js';

const CORPUS: readonly (readonly [string, string, string])[] = [
  ['plain text', 'one\ttwo\nthree\r\n', 'one\ttwo\nthree\r\n'],
  ['more than ASCII', 'größe 漢字 🦊 e\u0301', 'größe 漢字 🦊 e\u0301'],
  [
    'colours',
    '\u001b[1;31mred\u001b[0m \u001b[38;2;1;2;3mtrue\u001b[m',
    '\u001b[1;31mred\u001b[0m \u001b[38;2;1;2;3mtrue\u001b[m',
  ],
  ['colours with colons', '\u001b[4:3mwavy', '\u001b[4:3mwavy'],
  ['colours by the eight-bit introducer', '\u009b31mred', '\u001b[31mred'],
  ['a title', 'a\u001b]0;owned\u0007b\u001b]2;owned\u001b\\c', 'abc'],
  ['the clipboard', 'a\u001b]52;c;b3duZWQ=\u0007b', 'ab'],
  ['a hyperlink', '\u001b]8;;https://evil.example/\u001b\\here\u001b]8;;\u001b\\', 'here'],
  ['questions that a terminal answers', 'a\u001b[6n\u001b[c\u001b[>q\u001bZ\u001b[18tb', 'ab'],
  ['a device control string', 'a\u001bP$q"p\u001b\\b\u0090x\u009cc', 'abc'],
  ['privacy, application and start strings', 'a\u001b^x\u001b\\b\u001b_x\u001b\\c\u001bXx\u001b\\d', 'abcd'],
  ['cursor, clearing and scrolling', 'a\u001b[2J\u001b[H\u001b[10;10H\u001b[?1049h\u001bMb', 'ab'],
  ['the alternate character set', 'a\u001b(0lqk\u001b(Bb\u000e\u000f', 'alqkb'],
  ['bells, backspaces and other control characters', 'a\u0007\b\u0000\u0001\u007f\u0085b', 'ab'],
  ['a private sequence that ends like a colour', 'a\u001b[>4;2m\u001b[?1mb', 'ab'],
  ['a string without an end', 'a\u001b]0;never ends\nb', 'a\nb'],
  ['a sequence without an end', 'a\u001b[31\nb', 'a\nb'],
  ['an escape in a sequence', 'a\u001b[3\u001b[31mb', 'a\u001b[31mb'],
  ['an escape in an escape', 'a\u001b\u001b[31mb', 'a\u001b[31mb'],
  ['an escape in a string that begins another sequence', 'a\u001b]0;x\u001b[31mb', 'a\u001b[31mb'],
  ['a sequence that is too long', `a\u001b[${'1;'.repeat(10_000)}mb`, 'ab'],
];

function filter(pieces: readonly Uint8Array[]): string {
  const colours = createColourText();
  return pieces.map((piece) => colours.push(piece)).join('');
}

describe('output that is shown as it comes', () => {
  it.each(CORPUS)('%s', (_name, given, shown) => {
    expect(filter([Buffer.from(given)])).toBe(shown);
  });

  it.each(CORPUS)('%s, split at every byte', (_name, given, shown) => {
    const bytes = Buffer.from(given);
    const step = Math.max(1, Math.floor(bytes.length / 200));
    for (let at = 0; at <= bytes.length; at += step) {
      expect(filter([bytes.subarray(0, at), bytes.subarray(at)])).toBe(shown);
    }
    expect(filter([...bytes].map((byte) => Uint8Array.of(byte)))).toBe(shown);
  });

  it('holds nothing but text, line ends, tabs and colours, whatever comes, and is the same however that is cut', () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 6 }),
      fc
        .constantFrom('\u001b', '\u001b[', '\u001b]', '\u001bP', '\u009b', '\u009d', '31', ';', 'm', '\u0007', '\n')
        .map((text) => Uint8Array.from(Buffer.from(text))),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const shown = filter(pieces);
        // eslint-disable-next-line no-control-regex -- control characters are what must not be there
        expect(shown.replace(/\u001b\[[\d;:]*m/g, '')).not.toMatch(
          /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/,
        );
        expect(filter([Buffer.concat(pieces)])).toBe(shown);
      }),
      runs(2_000),
    );
  });
});
