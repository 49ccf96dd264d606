/**
 * Goal: the text of a turn only grows, ends as the log has it whatever was lost or said twice on the way, and holds output that
 * nothing gets out of. Method: properties over turns made at random, told with and without live text; the ways live text goes wrong.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FeedItem } from '../../../src/client.js';
import type { TurnDeltaBody, TurnEventBody } from '../../../src/contracts/events.js';
import { createTurnText, type CommandsShown, type TurnText } from '../../../src/gateway/turn-text.js';

const position = { seq: 1, try: 0, n: 0 };
const event = (body: TurnEventBody): FeedItem => ({ position, event: { seq: 1, turnId: 't', at: '', body } });
const delta = (step: number, body: TurnDeltaBody, index: number | null = null): FeedItem => ({
  position,
  delta: { turnId: 't', step, index, body },
});
const says = (step: number, text: string): FeedItem => delta(step, { type: 'answer.delta', text });
const answered = (step: number, text: string, titles: readonly string[] = []): FeedItem =>
  event({
    ...{ type: 'step.answered', step, text },
    calls: titles.map((title, index) => ({ index, cmdId: `c${step}-${index}`, tool: 'bash', title })),
  });
const started = (step: number, index: number): FeedItem =>
  event({ type: 'command.started', step, index, cmdId: `c${step}-${index}`, tool: 'bash' });
const ended = (step: number, index: number, output: string): FeedItem =>
  event({
    ...{ type: 'command.ended', step, index, cmdId: `c${step}-${index}`, tool: 'bash', outcome: 'exited' },
    ...{ exitCode: 0, outputBytes: output.length, output },
  });

/** Everything that was said, appended as a client does. */
function read(items: readonly FeedItem[], shown: CommandsShown = 'text'): { said: string; text: TurnText } {
  const text = createTurnText(shown);
  let said = '';
  for (const item of items) {
    said += text.push(item).text;
    expect(text.length).toBe(text.text.length);
  }
  return { said, text };
}

interface Step {
  readonly text: string;
  readonly cuts: readonly number[];
  readonly commands: readonly { readonly title: string; readonly output: string }[];
}

const words = fc.string({ unit: fc.constantFrom('a', 'b', ' ', '\n', '`', '```', '~~~', '😀'), maxLength: 12 });
const step: fc.Arbitrary<Step> = fc.record({
  text: words,
  cuts: fc.array(fc.nat(30), { maxLength: 4 }),
  commands: fc.array(fc.record({ title: words, output: words }), { maxLength: 3 }),
});

function piecesOf({ text, cuts }: Step): string[] {
  const places = [0, ...cuts.filter((cut) => cut < text.length).toSorted((a, b) => a - b), text.length];
  return places.slice(1).map((place, at) => text.slice(places[at], place));
}

const durable = (of: Step, at: number): FeedItem[] => [
  answered(
    at,
    of.text,
    of.commands.map(({ title }) => title),
  ),
  ...of.commands.flatMap(({ output }, index) => [started(at, index), ended(at, index, output)]),
];

describe('the text of a turn', () => {
  it('is the same whether or not it is heard live', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 5 }), fc.constantFrom('text', 'annotation', 'none'), (steps, shown) => {
        const replayed = read(steps.flatMap(durable), shown);
        const live = read(
          steps.flatMap((of, at) => [...piecesOf(of).map((piece) => says(at, piece)), ...durable(of, at)]),
          shown,
        );
        expect(replayed.said).toBe(replayed.text.text);
        expect(live.said).toBe(replayed.said);
        expect(live.text.text).toBe(replayed.said);
      }),
    );
  });

  it('ends as the log has it where tries are cut off and live text is lost, and says nothing twice without a word of it', () => {
    const trouble = fc.constantFrom('cut', 'gap', 'none');
    fc.assert(
      fc.property(fc.array(fc.tuple(step, trouble, words), { maxLength: 4 }), (steps) => {
        const items = steps.flatMap(([of, what, other], at) => {
          const [first = '', ...rest] = piecesOf(of);
          if (what === 'cut') {
            const restart = delta(at, { type: 'part.restarted' });
            return [says(at, other), restart, ...[first, ...rest].map((piece) => says(at, piece)), ...durable(of, at)];
          }
          if (what === 'gap') return [says(at, first), delta(at, { type: 'part.resync' }), ...durable(of, at)];
          return durable(of, at);
        });
        const { said, text } = read(items);
        const whole = read(steps.flatMap(([of], at) => durable(of, at))).said;
        expect(text.text).toBe(whole);
        if (!said.includes('begins anew')) expect(said).toBe(whole);
      }),
    );
  });

  it('whose try was cut off goes on without a word where the next says the same', () => {
    const items = [
      ...[says(0, 'Hello '), delta(0, { type: 'part.restarted' }), says(0, 'Hel'), says(0, 'lo you')],
      answered(0, 'Hello you'),
    ];
    expect(read(items).said).toBe('Hello you');
  });

  it('whose next try says something else says so, and then all of it', () => {
    const text = createTurnText('text');
    text.push(says(0, 'Cut o'));
    text.push(delta(0, { type: 'part.restarted' }));
    const anew = text.push(says(0, 'Whole'));
    expect(anew.isAnew).toBe(true);
    expect(anew.text).toMatch(/^\n\n\[.*begins anew.*\]\n\nWhole$/);
    expect(text.push(answered(0, 'Whole answer'))).toEqual({ text: ' answer', isAnew: false });
    expect(text.text).toBe('Whole answer');
  });

  it('waits for the whole where a piece is missing', () => {
    const text = createTurnText('text');
    text.push(says(0, 'one '));
    text.push(delta(0, { type: 'part.resync' }));
    expect(text.push(says(0, 'three'))).toEqual({ text: '', isAnew: false });
    expect(text.push(answered(0, 'one two three')).text).toBe('two three');
  });
});

describe('commands', () => {
  const turn = [
    answered(0, 'I look.', ['ls']),
    started(0, 0),
    ended(0, 0, 'file\n[exit code 0]'),
    answered(1, 'Done.'),
  ];

  it('are blocks within the text, the command before it has ended', () => {
    const text = createTurnText('text');
    expect(turn.map((item) => text.push(item).text)).toEqual([
      'I look.',
      '\n\n```console\n$ ls\n```',
      '\n\n```\nfile\n[exit code 0]\n```',
      '\n\nDone.',
    ]);
  });

  it('are beside it, each as far as it is', () => {
    const text = createTurnText('annotation');
    const seen = turn.flatMap((item) => text.push(item).command ?? []);
    const about = { id: 'c0-0', step: 0, index: 0, tool: 'bash', title: 'ls' };
    const result = { outcome: 'exited', exitCode: 0, outputBytes: 18, output: 'file\n[exit code 0]' };
    expect(seen).toEqual([
      { ...about, outcome: null, exitCode: null, outputBytes: null, output: null },
      { ...about, ...result },
    ]);
    expect(text.commands).toEqual([{ ...about, ...result }]);
    expect(text.text).toBe('I look.\n\nDone.');
  });

  it('are left out', () => {
    const { said, text } = read(turn, 'none');
    expect([said, text.commands]).toEqual(['I look.\n\nDone.', []]);
  });

  it('that were refused, and so never began, are shown with why', () => {
    const { said } = read([answered(0, '', ['ls']), ended(0, 0, 'Too many calls.')]);
    expect(said).toBe('```console\n$ ls\n```\n\n```\nToo many calls.\n```');
  });

  it('cannot get out of their block, whatever they print', () => {
    fc.assert(
      fc.property(words, (output) => {
        fc.pre(output.trim() !== '');
        const { said } = read([answered(0, '', ['x']), started(0, 0), ended(0, 0, output)]);
        const [, fence = '', inside = ''] = /^```console\n\$ x\n```\n\n(`+)\n([^]*)\n\1$/.exec(said) ?? [];
        expect(inside).toBe(output.trimEnd());
        for (const line of inside.split('\n')) expect(line).not.toMatch(new RegExp(`^ *${fence}`));
      }),
    );
  });
});
