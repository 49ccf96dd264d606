/** The wire: what one side writes the other reads, and noise is never taken for a frame. */
import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeField, encodeLine, FrameReader, journalName } from '../../../src/guest/wire.js';
import { frameOf } from './support/frames.js';

const TAG = 'a1b2c3d4e5f60718';

const frame = (kind: string, body: Buffer, fields = '', tag = TAG): Buffer => frameOf(tag, kind, 'name', fields, body);

describe('fields', () => {
  test('bash gets back exactly the text', () => {
    const texts = fc.string({ unit: 'grapheme', maxLength: 60 }).filter((text) => !text.includes('\0'));
    const samples = [...fc.sample(texts, 60), 'a\\nb', '\\0101\n', "it's", '\u0001\u007f9', '-n', '%s', ''];
    for (const text of samples) {
      const field = encodeField(text);
      // eslint-disable-next-line no-control-regex -- that none is left is what is tested
      expect(field).not.toMatch(/[\u0000-\u001f\u007f]/);
      const script = 'LC_ALL=C; printf -v text %b "$1"; printf %s "$text"';
      const { stdout } = spawnSync('bash', ['-c', script, 'bash', field]);
      expect(stdout.toString('utf8')).toBe(text);
    }
  });

  test('a NUL character is refused', () => {
    expect(() => encodeField('a\0b')).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }) as Error);
  });

  test('a line is counted in bytes and marked at both ends', () => {
    expect(encodeLine('T', ['run', 'é']).toString()).toBe('\nT 8 run\u001fé\u001f. T\n');
  });

  test('names are safe file names, and different ids have different names', () => {
    expect(journalName('turn-1-2')).toBe('turn-1-2');
    for (const id of ['', '.', '..', 'a.b', '../x', 'a b', '-x', 'a\n', 'ä', 'x'.repeat(121)]) {
      expect(journalName(id)).toMatch(/^sha256-[0-9a-f]{64}$/);
    }
    expect(journalName('a b')).not.toBe(journalName('a  b'));
  });
});

describe('frames', () => {
  test('are found in any noise, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 80 })), { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 10 }),
        (pieces, cuts) => {
          const stream = Buffer.concat(pieces.flatMap(([noise, body]) => [noise, frame('result', Buffer.from(body))]));
          const reader = new FrameReader(TAG);
          const bodies: Buffer[] = [];
          for (let at = 0, turn = 0; at < stream.length; turn += 1) {
            const size = cuts[turn % cuts.length] ?? 1;
            bodies.push(...reader.push(stream.subarray(at, at + size)).map((found) => found.body));
            at += size;
          }
          expect(bodies).toEqual(pieces.map(([, body]) => Buffer.from(body)));
        },
      ),
    );
  });

  test('a torn frame is lost alone', () => {
    const whole = frame('result', Buffer.from('second'));
    for (let cut = 1; cut < 60; cut += 1) {
      const torn = frame('result', Buffer.from('first body')).subarray(0, cut);
      const bodies = new FrameReader(TAG)
        .push(Buffer.concat([torn, whole, whole]))
        .map((found) => found.body.toString());
      expect(bodies.length).toBeGreaterThanOrEqual(1);
      expect(new Set(bodies)).toEqual(new Set(['second']));
    }
  });

  test('another tag is noise; fields and base64 are read', () => {
    const reader = new FrameReader(TAG);
    expect(reader.push(frame('result', Buffer.from('x'), '', '0000'))).toEqual([]);
    const header = 'result n exit=3 signal= body=4 enc=b64 of=n ';
    const encoded = Buffer.from(`\u001e${TAG} ${header.length} ${header}\u001f/wA=\u001d${TAG}\n`);
    expect(reader.push(encoded)).toEqual([
      {
        kind: 'result',
        name: 'n',
        fields: { exit: '3', signal: '', body: '4', enc: 'b64', of: 'n' },
        body: Buffer.from([0xff, 0]),
      },
    ]);
  });

  test('a header without an end does not hold the stream up', () => {
    const reader = new FrameReader(TAG);
    reader.push(Buffer.from(`\u001e${TAG} ${'x'.repeat(5_000)}`));
    expect(reader.push(frame('pong', Buffer.alloc(0))).map((found) => found.kind)).toEqual(['pong']);
  });
});
