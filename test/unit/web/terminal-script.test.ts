/**
 * Goal: the terminal shows prompt, command, output in colour and end of each command, and nothing of what commands print reaches it but
 * text and colours. Method: calls as they grow; hostile output at random, whole and in pieces.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TalkCall, TalkEntry } from '../../../web/talk/talk.js';
import { COMMANDS_MAX, createTerminalScript, toDrawing } from '../../../web/terminal/script.js';
import { hostileText } from '../../support/hostile.js';
import { runs } from '../../support/properties.js';

const RUNNING: TalkCall = {
  ...{ index: 0, cmdId: 'c1', tool: 'bash', title: 'ls', outcome: null, exitCode: null, output: '', outputBytes: null },
  ...{ startedAt: '2026-01-01T00:00:00Z', endedAt: null, live: [], isWatched: true },
};
const ENDED: Partial<TalkCall> = { outcome: 'exited', exitCode: 0, output: 'a', outputBytes: 1 };
const HEAD = '\u001b[1;32m$\u001b[0m ls\n';

const entryOf = (...calls: TalkCall[]): TalkEntry[] => [
  { key: 't1/0', turnId: 't1', step: 0, kind: 'assistant', text: '', at: '2026-01-01T00:00:00Z', calls },
];
const textOf = (call: Partial<TalkCall>, kept?: string): string => {
  const outputs = new Map(kept === undefined ? [] : [['c1', Buffer.from(kept)] as const]);
  return createTerminalScript()
    .toPieces(entryOf({ ...RUNNING, ...call }), outputs)
    .map(({ text }) => text)
    .join('');
};

describe('a command in the terminal', () => {
  it.each<[string, Partial<TalkCall>, string | undefined, string]>([
    ['that waits is not there', { startedAt: null }, undefined, ''],
    ['that runs', { live: ['\u001b[31ma'] }, undefined, `${HEAD}\u001b[31ma`],
    ['of which text is missing', { live: ['a', 'b'] }, undefined, `${HEAD}a\n[…]\nb`],
    ['that ended well', { ...ENDED }, 'a', `${HEAD}a\u001b[0m\n`],
    ['that failed', { ...ENDED, exitCode: 2 }, 'a\n', `${HEAD}a\n\u001b[0m\u001b[31m[exit code 2]\u001b[0m\n`],
    ['that was stopped', { ...ENDED, outcome: 'cancelled' }, '', `${HEAD}\u001b[0m\u001b[2m[cancelled]\u001b[0m\n`],
    ['whose bytes are not read yet', { ...ENDED, output: 'a\n[exit code 0]' }, undefined, `${HEAD}a\n[exit code 0]\n`],
    ['of a tool', { tool: 'read_file', title: 'read a' }, undefined, '\u001b[36m[read_file]\u001b[0m read a\n'],
    ['with a hostile name', { title: 'a\u001b]0;x\u0007\u001b[31mb' }, undefined, '\u001b[1;32m$\u001b[0m ab\n'],
  ])('%s', (_name, call, kept, text) => {
    expect(textOf(call, kept)).toBe(text);
  });

  it('is text and colours, whatever it prints, and the same in pieces as whole', () => {
    const noise = fc.array(
      fc.oneof(hostileText, fc.constantFrom('\u001b[', '\u001b]0;', '\u0007', '31m', '\u009b', '\u001b[6n')),
    );
    fc.assert(
      fc.property(noise, (pieces) => {
        const script = createTerminalScript();
        let text = '';
        for (let at = 0; at <= pieces.length; at += 1) {
          const live = pieces.slice(0, at).join('');
          text = script.toPieces(entryOf({ ...RUNNING, live: [live] }), new Map())[0]?.text ?? '';
        }
        // eslint-disable-next-line no-control-regex -- control characters are what must be gone
        expect(text.replace(/\u001b\[[\d;:]*m/g, '')).not.toMatch(
          /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/u,
        );
        // Whole characters, as JSON carries them: a half of one at the end of a piece is none yet.
        const isWhole = pieces.every((piece) => !/[\ud800-\udfff]/.test(piece));
        if (isWhole) expect(text).toBe(textOf({ live: [pieces.join('')] }));
      }),
      runs(200),
    );
  });

  it('is one of the last', () => {
    const calls = Array.from({ length: COMMANDS_MAX + 5 }, (_, at) => ({ ...RUNNING, index: at, cmdId: `c${at}` }));
    const pieces = createTerminalScript().toPieces(entryOf(...calls), new Map());
    expect(pieces.map(({ cmdId }) => cmdId)).toEqual(calls.slice(5).map(({ cmdId }) => cmdId));
  });
});

describe('what is drawn', () => {
  const piece = (cmdId: string, text: string) => ({ cmdId, text });

  it.each([
    ['the first', [], [piece('a', '1')], { isAnew: false, text: '1' }],
    ['nothing new', [piece('a', '1')], [piece('a', '1')], { isAnew: false, text: '' }],
    [
      'what the last has grown by',
      [piece('a', '1')],
      [piece('a', '12'), piece('b', '3')],
      { isAnew: false, text: '23' },
    ],
    ['all, where the last changed', [piece('a', '1')], [piece('a', '2')], { isAnew: true, text: '2' }],
    [
      'all, where one before the last grew',
      [piece('a', '1'), piece('b', '2')],
      [piece('a', '11'), piece('b', '2')],
      { isAnew: true, text: '112' },
    ],
    ['all, where the first went', [piece('a', '1'), piece('b', '2')], [piece('b', '2')], { isAnew: true, text: '2' }],
    ['all, where it was more', [piece('a', '1'), piece('b', '2')], [piece('a', '1')], { isAnew: true, text: '1' }],
  ])('%s', (_name, drawn, next, drawing) => {
    expect(toDrawing(drawn, next)).toEqual(drawing);
  });
});
