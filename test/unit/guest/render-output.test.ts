/** What the model is told: within its bound, as plain text, with nothing hidden. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MODEL_OUTPUT_BYTES_MAX } from '../../../src/contracts/limits.js';
import type { CommandResult } from '../../../src/guest/guest.js';
import { renderOutput, renderStatus } from '../../../src/guest/render-output.js';
import { stripControl } from '../../../src/guest/strip-control.js';

function result(output: string | Buffer, change: Partial<CommandResult> = {}): CommandResult {
  const bytes = Buffer.from(output);
  return {
    exitCode: 0,
    signal: undefined,
    timedOut: false,
    stopped: false,
    outputHash: '',
    output: { totalBytes: bytes.length, head: bytes, tail: Buffer.alloc(0) },
    startedAtMs: 0,
    endedAtMs: 1,
    ...change,
  };
}

describe('renderOutput', () => {
  test('output, then how it ended', () => {
    expect(renderOutput(result('hello\n'))).toBe('hello\n[exit code 0]');
    expect(renderOutput(result(''))).toBe('[no output, exit code 0]');
    expect(renderOutput(result('oops\n', { exitCode: 3 }))).toBe('oops\n[exit code 3]');
    const killed = { exitCode: undefined, signal: 'SIGKILL' };
    expect(renderOutput(result('', killed))).toBe('[no output, ended by SIGKILL]');
    expect(renderOutput(result('x', { ...killed, timedOut: true }))).toBe(
      'x\n[stopped at its time limit, ended by SIGKILL]',
    );
    expect(renderOutput(result('x', { ...killed, stopped: true }))).toBe('x\n[cancelled, ended by SIGKILL]');
  });

  test('a character cut between head and tail is whole again', () => {
    const bytes = Buffer.from('aéb');
    const output = { totalBytes: 4, head: bytes.subarray(0, 2), tail: bytes.subarray(2) };
    expect(renderOutput(result('', { output }))).toBe('aéb\n[exit code 0]');
  });

  test('what is left out is counted', () => {
    const head = Buffer.from(`first\n${'h'.repeat(60_000)}`);
    const tail = Buffer.from(`${'t'.repeat(60_000)}\nlast\n`);
    const output = { totalBytes: 50_000_000, head, tail };
    const text = renderOutput(result('', { output }));
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(MODEL_OUTPUT_BYTES_MAX);
    expect(text).toMatch(/^first\nh+\n\[… (\d+) bytes left out …\]\nt+\nlast\n\[exit code 0\]$/);
    const omitted = Number(/… (\d+) bytes/.exec(text)?.[1]);
    const shown = (text.match(/h/g)?.length ?? 0) + (text.match(/t/g)?.length ?? 0);
    expect(50_000_000 - omitted - shown).toBeLessThan(20);
  });

  test('never longer than its bound, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 0, max: 600 }), (piece, times) => {
        const bytes = Buffer.concat(Array.from({ length: times }, () => Buffer.from(piece)));
        expect(Buffer.byteLength(renderOutput(result(bytes)))).toBeLessThanOrEqual(MODEL_OUTPUT_BYTES_MAX);
      }),
      { numRuns: 50 },
    );
  });

  test('an unknown outcome is said, with what was seen', () => {
    const output = { totalBytes: 5, head: Buffer.from('half\n'), tail: Buffer.alloc(0) };
    expect(renderStatus({ kind: 'void', reason: 'runner_died', output })).toMatch(
      /^half\n\[It is unknown .*not run again/,
    );
    const nothing = { totalBytes: 0, head: Buffer.alloc(0), tail: Buffer.alloc(0) };
    expect(renderStatus({ kind: 'void', reason: 'stopped_before_start', output: nothing })).toMatch(/did not run/);
  });
});

describe('stripControl', () => {
  test.each([
    ['\u001b[1;31mred\u001b[0m', 'red'],
    ['\u001b]0;title\u0007text', 'text'],
    ['\u001b]52;c;Y2xpcA==\u001b\\text', 'text'],
    ['\u001bP1$r0m\u001b\\text', 'text'],
    ['\u009b31mred', 'red'],
    ['\u001b(Btext\u001b7\u001b8\u001b=', 'text'],
    ['10%\r50%\r100%\ndone', '100%\ndone'],
    ['line\r\nnext\r\n', 'line\nnext\n'],
    ['a\bb\u0000c\u0007', 'abc'],
    ['tab\tstays\n', 'tab\tstays\n'],
    ['unended \u001b[', 'unended '],
    ['unended \u001b]0;title\nnext', 'unended \nnext'],
  ])('%j is %j', (text, plain) => {
    expect(stripControl(text)).toBe(plain);
  });

  test('nothing that controls a terminal is left, and long lines take no time', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        // eslint-disable-next-line no-control-regex -- that none is left is what is tested
        expect(stripControl(text)).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
      }),
    );
    const long = 'x'.repeat(2_000_000);
    expect(stripControl(long)).toBe(long);
  });
});
