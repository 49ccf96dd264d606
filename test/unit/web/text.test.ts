/**
 * Goal: nothing that a model or a command wrote does more on the page than be read. Method: examples, and hostile text at random; how
 * long the worst of it takes is bounded by its length alone.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toFormatted, type FormattedBlock } from '../../../web/text/formatted.js';
import { isSend, rowsOf, type PressedKey } from '../../../web/text/keys.js';
import { partialArgument } from '../../../web/text/partial-argument.js';
import { plainText, tailOf } from '../../../web/text/plain.js';
import { showAge, showDuration } from '../../../web/text/times.js';
import { hostileText } from '../../support/hostile.js';
import { runs } from '../../support/properties.js';

const textsOf = (block: FormattedBlock): string[] => {
  if (block.kind === 'code') return [block.text];
  return (block.kind === 'list' ? block.items.flat() : block.spans).map(({ text }) => text);
};

describe('an answer', () => {
  it('is paragraphs, headings, lists, code and what is in a line', () => {
    const text = ['# Title', 'a **b** `c`', 'd', '', '- one', '- two', '3. three', '```ts', '**x**', '```', 'end'].join(
      '\n',
    );
    expect(toFormatted(text)).toEqual([
      { kind: 'heading', spans: [{ kind: 'text', text: 'Title' }] },
      {
        kind: 'paragraph',
        spans: [
          ...[
            { kind: 'text', text: 'a ' },
            { kind: 'bold', text: 'b' },
            { kind: 'text', text: ' ' },
          ],
          ...[
            { kind: 'code', text: 'c' },
            { kind: 'text', text: '\nd' },
          ],
        ],
      },
      { kind: 'list', start: null, items: [[{ kind: 'text', text: 'one' }], [{ kind: 'text', text: 'two' }]] },
      { kind: 'list', start: 3, items: [[{ kind: 'text', text: 'three' }]] },
      { kind: 'code', language: 'ts', text: '**x**' },
      { kind: 'paragraph', spans: [{ kind: 'text', text: 'end' }] },
    ]);
  });

  it('with a fence that is not closed yet is code to its end; a longer fence holds a shorter one', () => {
    expect(toFormatted('```\na\n')).toEqual([{ kind: 'code', language: '', text: 'a\n' }]);
    expect(toFormatted('````\n```\n````')).toEqual([{ kind: 'code', language: '', text: '```' }]);
    expect(toFormatted('```x```')[0]?.kind).toBe('paragraph');
  });

  it('keeps markup and addresses as the text that they are', () => {
    const hostile = '<img src=x onerror=alert(1)> [x](javascript:alert(1)) https://evil.example';
    expect(toFormatted(hostile)).toEqual([{ kind: 'paragraph', spans: [{ kind: 'text', text: hostile }] }]);
  });

  it('loses no letter, whatever it holds', () => {
    const unit = fc.oneof(hostileText, fc.constantFrom('**', '`', '\n', '- ', '1. ', '# ', 'word'));
    const letters = (text: string): string => text.replace(/[^a-z]/g, '');
    // A fence shows of its own line the language at most.
    const texts = fc.array(unit, { maxLength: 40 }).map((units) => units.join('').replaceAll('```', ''));
    fc.assert(
      fc.property(texts, (text) => {
        fc.pre(!/```|~~~/.test(text));
        expect(letters(toFormatted(text).flatMap(textsOf).join(''))).toBe(letters(text));
      }),
      runs(300),
    );
  });

  it.each([
    ['spaces behind a fence', `\`\`\`${' '.repeat(200_000)}\``],
    ['spaces behind a heading', `# ${' '.repeat(200_000)}\u2028`],
    ['stars', '**'.repeat(100_000)],
    ['backticks', '`'.repeat(200_000)],
    ['fences', '```\n'.repeat(50_000)],
    ['items', '- \n'.repeat(50_000)],
  ])('of %s is looked at once', (_name, text) => {
    expect(toFormatted(text).length).toBeGreaterThan(0);
  });
});

describe('commands and output', () => {
  it.each([
    ['\u001b]0;owned\u0007a\u001b[31mb\u001b[0m', 'ab'],
    ['a\u001b]52;c;b3duZWQ=\u0007b', 'ab'],
    ['10%\r20%\r30%\ndone', '30%\ndone'],
    ['rm \u202e/ fr-', 'rm \\u{202e}/ fr-'],
    ['zero\u200bwidth', 'zero\\u{200b}width'],
    ['<b>&amp;</b>', '<b>&amp;</b>'],
  ])('%j is shown as %j', (given, shown) => {
    expect(plainText(given)).toBe(shown);
  });

  it('hold no control character, whatever came', () => {
    fc.assert(
      fc.property(fc.array(hostileText, { maxLength: 20 }), (texts) => {
        // eslint-disable-next-line no-control-regex -- control characters are what must be gone
        expect(plainText(texts.join('\u001b'))).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e]/u);
      }),
      runs(300),
    );
  });

  it('that are long are shown from the beginning of a line', () => {
    expect(tailOf('short', 10)).toBe('short');
    expect(tailOf('one\ntwo\nthree', 8)).toBe('…\nthree');
  });
});

describe('the arguments of a call', () => {
  it.each([
    ['', ''],
    ['{"comm', ''],
    ['{"command":"ls -l', 'ls -l'],
    ['{"timeout":3,"command": "echo \\"a\\"\\n\\u0041","x":1}', 'echo "a"\nA'],
    ['{"path":"~/a.txt","content":"b"}', '~/a.txt'],
    ['{"command":"cut \\u00', 'cut '],
    ['{"command":"cut \\', 'cut '],
  ])('%j so far say %j', (json, text) => {
    expect(partialArgument(json)).toBe(text);
  });

  it('are read in whole as JSON reads them', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (command) => {
        expect(partialArgument(JSON.stringify({ command }))).toBe(command);
      }),
      runs(200),
    );
  });
});

describe('keys', () => {
  const pressed = (key: string, more: Partial<PressedKey> = {}): PressedKey => ({
    ...{ key, shiftKey: false, altKey: false, ctrlKey: false, metaKey: false, isComposing: false },
    ...more,
  });

  it.each([
    ['Enter', {}, false, true],
    ['Enter', { shiftKey: true }, false, false],
    ['Enter', { isComposing: true }, false, false],
    ['Enter', {}, true, false],
    ['Enter', { ctrlKey: true }, true, true],
    ['a', {}, false, false],
  ])('%s with %j (touch: %j) sends: %j', (key, more, isTouch, sends) => {
    expect(isSend(pressed(key, more), { isTouch })).toBe(sends);
  });

  it('scroll by lines, pages and to the ends', () => {
    expect(['ArrowUp', 'PageDown', 'Home', 'End', 'Tab'].map((key) => rowsOf(key, 10))).toEqual([
      ...[-1, 9, -Infinity, Infinity, undefined],
    ]);
  });
});

it('times are in words', () => {
  expect([420, 2_430, 12_300, 187_000, 7_500_000, -5].map(showDuration)).toEqual([
    ...['420 ms', '2.4 s', '12 s', '3:07 min', '2:05 h', '0 ms'],
  ]);
  expect([5_000, 240_000, 7_300_000, 1_040_000_000].map(showAge)).toEqual(['now', '4 min', '2 h', '12 d']);
});
