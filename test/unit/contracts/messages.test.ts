/** The parse functions of inbound messages: whatever arrives, they answer; they never throw and never repeat what was sent. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isErrorCode } from '../../../src/contracts/errors.js';
import { parseTurnId } from '../../../src/contracts/ids.js';
import { SIGNAL_PROMPT_BYTES_MAX } from '../../../src/contracts/limits.js';
import {
  isUndecodable,
  parseCancelTurn,
  parseEnqueueTurn,
  parseMachineLost,
  type Parsed,
} from '../../../src/contracts/messages.js';
import { payloadConverter } from '../../../src/workflows/payload-converter.js';
import { hostileRecord } from '../../support/hostile.js';
import { runs } from '../../support/properties.js';

const PARSERS: readonly (readonly [string, (payload: unknown) => Parsed<unknown>])[] = [
  ['parseEnqueueTurn', parseEnqueueTurn],
  ['parseCancelTurn', parseCancelTurn],
  ['parseMachineLost', parseMachineLost],
];

/** Values as JSON brings them, and as nothing should. */
const anything = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withNullPrototype: true,
});
const nearly = fc.record(
  { turnId: fc.oneof(fc.string(), anything), prompt: fc.oneof(fc.string(), anything), generation: anything },
  { requiredKeys: [] },
);

/** As the payload converter hands them over: JSON of any kind, broken JSON, and bytes under any encoding. */
const received = fc
  .record(
    {
      encoding: fc.constantFrom('json/plain', 'binary/plain', 'binary/null', 'json/protobuf', 'x'),
      text: fc.oneof(
        hostileRecord({
          turnId: fc.constantFrom('t1', 'ü'),
          prompt: fc.constantFrom('hello', 'x'.repeat(SIGNAL_PROMPT_BYTES_MAX + 1)),
          generation: fc.constantFrom(1, 2),
          admitted: hostileRecord({
            turnKey: fc.constantFrom('1', '0', '99999999999999999999'),
            position: fc.constantFrom(1, 0),
          }),
        }).map((value) => JSON.stringify(value)),
        fc.string({ unit: 'binary' }),
      ),
    },
    { requiredKeys: ['text'] },
  )
  .map(({ encoding, text }) => {
    const metadata = encoding === undefined ? {} : { metadata: { encoding: Buffer.from(encoding) } };
    return payloadConverter.fromPayload<unknown>({ ...metadata, data: Buffer.from(text) });
  });

describe.each(PARSERS)('%s', (_name, parse) => {
  it('answers anything', () => {
    fc.assert(
      fc.property(fc.oneof(anything, nearly, received), (payload) => {
        const parsed = parse(payload);
        if (parsed.ok) {
          const { turnId, prompt, generation, admitted } = parsed.value as Record<string, unknown>;
          if (admitted !== undefined) {
            expect(admitted).toEqual({
              turnKey: expect.stringMatching(/^[1-9]\d{0,17}$/),
              position: expect.any(Number),
            });
          }
          if (turnId !== undefined) expect(parseTurnId(turnId)).toBe(turnId);
          if (prompt !== undefined)
            expect(Buffer.byteLength(String(prompt))).toBeLessThanOrEqual(SIGNAL_PROMPT_BYTES_MAX);
          if (generation !== undefined) expect(Number.isSafeInteger(generation)).toBe(true);
          return;
        }
        expect(isErrorCode(parsed.code)).toBe(true);
        expect(parsed.reason.length).toBeLessThan(200);
      }),
      runs(1_000),
    );
  });

  it('does not repeat what was sent', () => {
    const secret = 'SECRET'.repeat(40);
    for (const payload of [
      secret,
      [secret],
      { turnId: secret },
      { turnId: 't', prompt: [secret] },
      { generation: secret },
    ]) {
      const parsed = parse(payload);
      expect(parsed.ok ? '' : parsed.reason).not.toContain('SECRET');
    }
  });

  it('says what to send when nothing was, or nothing that can be decoded', () => {
    for (const payload of [undefined, { innkeeperUndecodable: 'ValueError' }]) {
      expect(parse(payload)).toMatchObject({ ok: false, code: 'MESSAGE_INVALID' });
    }
  });
});

describe('parseEnqueueTurn', () => {
  it('takes an id alone, and a prompt of up to the bound', () => {
    expect(parseEnqueueTurn({ turnId: 't', more: 1 })).toEqual({ ok: true, value: { turnId: 't' } });
    expect(parseEnqueueTurn({ turnId: 't', prompt: null })).toEqual({ ok: true, value: { turnId: 't' } });
    const prompt = 'é'.repeat(SIGNAL_PROMPT_BYTES_MAX / 2);
    expect(parseEnqueueTurn({ turnId: 't', prompt })).toEqual({ ok: true, value: { turnId: 't', prompt } });
  });

  it.each([
    [{ turnId: 't', prompt: 'x'.repeat(SIGNAL_PROMPT_BYTES_MAX + 1) }, 'PROMPT_TOO_LARGE'],
    [{ turnId: 't', prompt: ' \n\t' }, 'PROMPT_EMPTY'],
    [{ turnId: 't', prompt: 7 }, 'MESSAGE_INVALID'],
    [{ turnId: 'a/b', prompt: 'x' }, 'INVALID_TURN_ID'],
    [{ prompt: 'x' }, 'INVALID_TURN_ID'],
  ])('refuses %j with %s', (payload, code) => {
    expect(parseEnqueueTurn(payload)).toMatchObject({ ok: false, code });
  });
});

describe('an announcement inside of parseEnqueueTurn', () => {
  it.each(['9223372036854775808', '9999999999999999999'])(
    'under %s, a key that no row can have, is none',
    (turnKey) => {
      expect(parseEnqueueTurn({ turnId: 't', admitted: { turnKey, position: 1 } })).toEqual({
        ok: true,
        value: { turnId: 't' },
      });
    },
  );
});

describe('parseMachineLost', () => {
  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '1', null])(
    'refuses generation %s',
    (generation) => {
      expect(parseMachineLost({ generation })).toMatchObject({ ok: false, code: 'MESSAGE_INVALID' });
    },
  );

  it('takes a whole number from 1', () => {
    expect(parseMachineLost({ generation: 3 })).toEqual({ ok: true, value: { generation: 3 } });
  });
});

describe('isUndecodable', () => {
  it('tells the marker from anything', () => {
    expect(isUndecodable({ innkeeperUndecodable: 'x' })).toBe(true);
    fc.assert(fc.property(anything, (value) => void isUndecodable(value)));
  });
});
