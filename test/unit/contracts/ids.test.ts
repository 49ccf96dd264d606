/** Ids: what is refused, and that a workflow id gives back the part it was made of. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InnkeeperError } from '../../../src/contracts/errors.js';
import {
  commandId,
  laneWorkflowId,
  parseLaneWorkflowId,
  parseTurnId,
  parseUserId,
  utf8Bytes,
} from '../../../src/contracts/ids.js';
import { ID_BYTES_MAX } from '../../../src/contracts/limits.js';

const HOSTILE: readonly (readonly [string, unknown])[] = [
  ['nothing', undefined],
  ['null', null],
  ['a number', 7],
  ['an object', { toString: () => 'user' }],
  ['a list', ['user']],
  ['empty text', ''],
  ['a slash', 'a/b'],
  ['a percent sign', 'a%2fb'],
  ['a line feed', 'a\nb'],
  ['NUL', 'a\u0000b'],
  ['DEL', 'a\u007fb'],
  ['a control character of Latin-1', 'a\u0085b'],
  ['a line separator', 'a\u2028b'],
  ['a paragraph separator', 'a\u2029b'],
  ['half a surrogate pair', 'a\ud800b'],
  ['the other half', '\udc00'],
  ['a dot', '.'],
  ['two dots', '..'],
  ['a space in front', ' a'],
  ['a space behind', 'a '],
  ['a no-break space behind', 'a\u00a0'],
  ['129 bytes of ASCII', 'x'.repeat(ID_BYTES_MAX + 1)],
  ['129 bytes of UTF-8', `x${'é'.repeat(ID_BYTES_MAX / 2)}`],
];

const GOOD: readonly string[] = [
  'a',
  'user@example.org',
  '...',
  'a b',
  'Zoë',
  '用户',
  '👩‍💻',
  '__proto__',
  'x'.repeat(ID_BYTES_MAX),
  '💥'.repeat(ID_BYTES_MAX / 4),
];

describe('parseUserId and parseTurnId', () => {
  it.each(HOSTILE)('refuse %s', (_what, id) => {
    for (const [parse, code] of [
      [parseUserId, 'INVALID_USER_ID'],
      [parseTurnId, 'INVALID_TURN_ID'],
    ] as const) {
      try {
        parse(id);
        expect.unreachable();
      } catch (error) {
        expect(InnkeeperError.is(error) && error.code).toBe(code);
      }
    }
  });

  it.each(GOOD)('take %s as it is', (id) => {
    expect(parseUserId(id)).toBe(id);
    expect(parseTurnId(id)).toBe(id);
  });

  it('never say what was sent', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 8, unit: 'binary' }), (text) => {
        try {
          parseUserId(`/${text}`);
        } catch (error) {
          return error instanceof Error && !error.message.includes(text);
        }
        return false;
      }),
    );
  });
});

describe('laneWorkflowId', () => {
  it('gives back the user id it was made of, and is safe to print', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 128, unit: 'grapheme' }), (id) => {
        fc.pre(isGood(id));
        const workflowId = laneWorkflowId(id);
        expect(workflowId).toMatch(/^user-machine\/[\x21-\x7e]+$/);
        expect(workflowId.split('/')).toHaveLength(2);
        expect(parseLaneWorkflowId(workflowId)).toBe(id);
      }),
    );
  });

  it('differs for different users', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (one, other) => {
        fc.pre(one !== other && isGood(one) && isGood(other));
        expect(laneWorkflowId(one)).not.toBe(laneWorkflowId(other));
      }),
    );
  });

  it('of another program, or malformed, is no lane', () => {
    expect(parseLaneWorkflowId('other/a')).toBeUndefined();
    expect(parseLaneWorkflowId('user-machine')).toBeUndefined();
    expect(parseLaneWorkflowId('user-machine/%e0%a4%a')).toBeUndefined();
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void parseLaneWorkflowId(text)));
  });
});

describe('utf8Bytes', () => {
  it('counts as the encoder does', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(utf8Bytes(text)).toBe(Buffer.byteLength(text));
      }),
    );
  });
});

describe('commandId', () => {
  it('differs for each call', () => {
    const ids = new Set(
      [1, 11].flatMap((step) => [1, 11].flatMap((index) => commandId({ turnKey: '1', step, index }))),
    );
    ids.add(commandId({ turnKey: '11', step: 1, index: 1 }));
    expect(ids.size).toBe(5);
  });
});

function isGood(id: string): boolean {
  try {
    parseUserId(id);
    return true;
  } catch {
    return false; // What is refused is the matter of the tests above.
  }
}
