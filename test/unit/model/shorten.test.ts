/** Goal: shortening keeps a limit in bytes, cuts no character and loses nothing that fits. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SHORTEN_BYTES_MIN, shortenMiddle } from '../../../src/model/shorten.js';

const anyText = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 400 }),
  fc.string({ unit: 'binary', maxLength: 400 }),
);

test('the result is within the limit, and unchanged where it fits', () => {
  fc.assert(
    fc.property(anyText, fc.integer({ min: SHORTEN_BYTES_MIN, max: 600 }), (text, limit) => {
      const short = shortenMiddle(text, limit);
      expect(Buffer.byteLength(short)).toBeLessThanOrEqual(limit);
      if (Buffer.byteLength(text) <= limit) expect(short).toBe(text);
    }),
  );
});

test('head and tail are cut between characters', () => {
  fc.assert(
    fc.property(fc.integer({ min: 100, max: 400 }), (limit) => {
      const short = shortenMiddle('😀é字'.repeat(200), limit);
      expect(short).not.toContain('\ufffd');
      expect(short).toMatch(/^[😀é字]+\n\[\.\.\. \d+ bytes left out \.\.\.\]\n[😀é字]+$/u);
    }),
  );
});
