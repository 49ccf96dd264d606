/** The payload converter decodes what the SDK's own decodes, and leaves a marker where that one would throw. */
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isUndecodable } from '../../../src/contracts/messages.js';
import { payloadConverter } from '../../../src/workflows/payload-converter.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const encoding = (text: string): Record<string, Uint8Array> => ({ encoding: bytes(text) });

describe('payloadConverter', () => {
  it('is the default one for everything that can be decoded', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(payloadConverter.toPayload(value)).toEqual(defaultPayloadConverter.toPayload(value));
        expect(payloadConverter.fromPayload(payloadConverter.toPayload(value))).toEqual(
          defaultPayloadConverter.fromPayload(defaultPayloadConverter.toPayload(value)),
        );
      }),
    );
  });

  it('decodes any payload at all without throwing', () => {
    const payload = fc.record(
      {
        metadata: fc.dictionary(fc.string(), fc.uint8Array()),
        data: fc.uint8Array(),
      },
      { requiredKeys: [] },
    );
    fc.assert(fc.property(payload, (any) => void payloadConverter.fromPayload(any)));
  });

  it.each<[string, Payload]>([
    ['an unknown encoding', { metadata: encoding('binary/unknown'), data: bytes('x') }],
    ['broken JSON', { metadata: encoding('json/plain'), data: bytes('{') }],
    ['JSON without bytes', { metadata: encoding('json/plain') }],
    ['no metadata', { data: bytes('{}') }],
    ['nothing', {}],
    ['JSON nested too deep', { metadata: encoding('json/plain'), data: bytes('['.repeat(200_000)) }],
  ])('leaves a marker for %s', (_what, payload) => {
    expect(isUndecodable(payloadConverter.fromPayload(payload))).toBe(true);
  });
});
