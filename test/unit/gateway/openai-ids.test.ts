/** Goal: a response's id names one turn, and nothing else does. Method: any ids, and ids that were tampered with. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseTurnId } from '../../../src/contracts/ids.js';
import { openAiId, parseResponseId } from '../../../src/gateway/openai-ids.js';

const isId = (text: string): boolean => {
  try {
    return parseTurnId(text) === text;
  } catch {
    return false;
  }
};
const id = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter(isId);
const coded = (text: string): string => `resp_${Buffer.from(text).toString('base64url')}`;

it('an id gives the turn back', () => {
  fc.assert(
    fc.property(id, id, (userId, turnId) => {
      expect(parseResponseId(openAiId('resp', { userId, turnId }))).toEqual({ userId, turnId });
    }),
  );
});

it('fits into a path, at its longest', () => {
  const longest = { userId: 'ü'.repeat(64), turnId: 'x'.repeat(128) };
  expect(openAiId('resp', longest).length).toBeLessThan(512);
  expect(parseResponseId(openAiId('resp', longest))).toEqual(longest);
});

it.each([
  ...['', 'resp_', 'resp_abc', coded('a/b').replace('resp', 'msg'), `${coded('a/b')}=`, `${coded('a/b')}\n`],
  // A user or a turn too few or too many, and one that is no id.
  ...['a', 'a/', '/b', 'a/b/c', ' a/b'].map(coded),
])('%j is none', (text) => {
  expect(parseResponseId(text)).toBeUndefined();
});

it('spelled otherwise is none', () => {
  expect(openAiId('resp', { userId: 'ab', turnId: 'c' })).toBe('resp_YWIvYw');
  // The last bits of the last character say nothing.
  expect(parseResponseId('resp_YWIvYx')).toBeUndefined();
});
