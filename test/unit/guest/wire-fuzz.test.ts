/**
 * Goal: whatever a machine writes to its terminal, reading it neither hangs, throws nor fills the memory, and a frame that lost or
 * gained bytes on its way is never read as another one. Method: streams made of the protocol's own pieces in any order, cut anywhere.
 */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toFinalStatus } from '../../../src/guest/records.js';
import { FrameReader, HELD_BYTES_MAX, type Frame } from '../../../src/guest/wire.js';
import { cutAt, everyCut } from '../../support/hostile.js';
import { runs } from '../../support/properties.js';
import { frameOf } from './support/frames.js';

const TAG = 'a1b2c3d4e5f60718';
const OUTPUT = Buffer.from('first line\nlast \u001e\u001f line\n');

function resultFrame(output = OUTPUT): Buffer {
  const hash = createHash('sha256').update(output).digest('hex');
  const times = 'timedout=0 stopped=0 started=1700000000123 ended=1700000000456';
  const bytes = `total=${output.length} head=${output.length} tail=0 hash=${hash} kept=n.out.0000000`;
  return frameOf(TAG, 'result', 'n', `exit=117 signal= ${times} ${bytes}`, output);
}

/** The fields of a frame made by frameOf. */
function headerOf(frame: Buffer): string {
  return /n (.*) body=/.exec(frame.toString('latin1'))?.[1] ?? '';
}

/** What a stream of noise and frames may be made of. */
const piece: fc.Arbitrary<Buffer> = fc.oneof(
  fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
  fc
    .constantFrom(
      `\u001e${TAG} `,
      `\u001e${TAG} result n `,
      `\u001d${TAG}`,
      '\u001e',
      '\u001f',
      ' ',
      '12 ',
      'result n ',
      'enc=b64 ',
      'of=n ',
    )
    .map((text) => Buffer.from(text)),
  fc
    .constantFrom('-1', '-40', '-9999', '0.5', '1e3', '0x10', '', '7', '4194304', '99999999', 'NaN', '+1')
    .map((number) => Buffer.from(`body=${number} `)),
  fc.uint8Array({ maxLength: 30 }).map((body) => frameOf(TAG, 'result', 'n', '', Buffer.from(body))),
);
const stream = fc.array(piece, { maxLength: 14 }).map((pieces) => Buffer.concat(pieces));

function read(pieces: readonly Uint8Array[]): { frames: Frame[]; heldBytes: number } {
  const reader = new FrameReader(TAG);
  let heldBytes = 0;
  const frames = pieces.flatMap((bytes) => {
    const found = reader.push(bytes);
    heldBytes = Math.max(heldBytes, reader.heldBytes);
    return found;
  });
  return { frames, heldBytes };
}

describe('the frames of a terminal', () => {
  test('are the same however the stream is cut, and no more than the stream could hold', () => {
    fc.assert(
      fc.property(stream, fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 1, maxLength: 6 }), (bytes, sizes) => {
        const whole = read([bytes]);
        expect(read(cutAt(bytes, sizes)).frames).toEqual(whole.frames);
        expect(whole.frames.length * TAG.length).toBeLessThanOrEqual(bytes.length);
        expect(whole.heldBytes).toBeLessThanOrEqual(HELD_BYTES_MAX);
      }),
      runs(3_000),
    );
  });

  test('are found behind any noise, cut at every byte', () => {
    const bytes = Buffer.concat([
      Buffer.from('noise \u001e'),
      resultFrame(),
      Buffer.from('$ '),
      resultFrame(Buffer.alloc(0)),
    ]);
    const whole = read([bytes]).frames;
    expect(whole.map(({ kind, body }) => [kind, body.length])).toEqual([
      ['result', OUTPUT.length],
      ['result', 0],
    ]);
    for (const pieces of everyCut(bytes)) expect(read(pieces).frames).toEqual(whole);
  });

  test('a header that claims a body of less than nothing is noise: reading it ends', () => {
    for (const size of ['-1', '-30', '-60', '-1000000', '1.5', '1e1', '0x1', '']) {
      const header = `r n body=${size} enc=raw of=n `;
      const claimed = Buffer.from(`\u001e${TAG} ${header.length} ${header}\u001f\u001d${TAG}\n`);
      expect(read([Buffer.concat([claimed, claimed])]).frames, size).toEqual([]);
    }
  });

  test('many beginnings without an end cost no more than their length', () => {
    // Searching each of them to the end of the stream would take minutes.
    const beginnings = Buffer.from(`\u001e${TAG} `.repeat(200_000));
    const reader = new FrameReader(TAG);
    expect(reader.push(Buffer.concat([beginnings, Buffer.from('\u001f')]))).toEqual([]);
    expect(reader.push(resultFrame()).map(({ kind }) => kind)).toEqual(['result']);
  });

  test('what is held is bounded, in single bytes too', () => {
    const header = `r n body=${4 * 1024 * 1024} enc=raw of=n `;
    const reader = new FrameReader(TAG);
    reader.push(Buffer.from(`\u001e${TAG} ${header.length} ${header}\u001f`));
    const before = process.memoryUsage().arrayBuffers;
    const byte = Buffer.from('x');
    for (let count = 0; count < 300_000; count += 1) reader.push(byte);
    expect(reader.heldBytes).toBeLessThanOrEqual(HELD_BYTES_MAX);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 * HELD_BYTES_MAX);
  });
});

describe('a result that lost or gained bytes on its way', () => {
  const intact = resultFrame();
  const told = toFinalStatus(read([intact]).frames[0]!, 'result');

  /** What is made of a damaged stream: the truth, or nothing. */
  function check(bytes: Buffer): void {
    for (const frame of read([bytes]).frames) {
      if (frame.kind !== 'result') continue;
      const status = toFinalStatus(frame, 'result');
      if (status !== 'damaged') expect(status).toEqual(told);
    }
  }

  test('is never read as another result, whatever piece is missing', () => {
    for (let from = 0; from < intact.length; from += 1) {
      for (let to = from + 1; to <= intact.length; to += 1) {
        check(Buffer.concat([intact.subarray(0, from), intact.subarray(to)]));
      }
    }
  });

  test('is never joined with the result of another command into one', () => {
    const other = frameOf(TAG, 'result', 'm', headerOf(intact).replace('exit=117', 'exit=118'), OUTPUT);
    for (let to = 1; to < intact.length; to += 1) {
      for (let from = 1; from < other.length; from += 1) {
        const [frame] = read([Buffer.concat([intact.subarray(0, to), other.subarray(from)])]).frames;
        if (frame?.name === 'n') expect(toFinalStatus(frame, 'result')).toEqual(told);
      }
    }
  });

  test('is never read as another result, whatever piece comes twice', () => {
    for (let from = 0; from < intact.length; from += 1) {
      for (let to = from + 1; to <= intact.length; to += 1)
        check(Buffer.concat([intact.subarray(0, to), intact.subarray(from)]));
    }
  });
});
