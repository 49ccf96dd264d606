/**
 * Goal: a reader of a response's events may go on behind any of them, at another stream that cuts the text otherwise, and has every
 * character once. Method: properties over texts and cuts made at random; the same events as OpenAI's own reader takes them.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FeedItem, TurnView } from '../../../src/client.js';
import type { TurnEventBody } from '../../../src/contracts/events.js';
import { toResponseEvents } from '../../../src/gateway/openai-response-events.js';
import type { ResponseTurn } from '../../../src/gateway/openai-response-view.js';
import type { CommandsShown } from '../../../src/gateway/turn-text.js';

const at = '2026-11-01T10:00:00.000Z';
const turn: ResponseTurn = {
  ...{
    userId: 'ada',
    turnId: 't1',
    turnKey: '1',
    position: 1,
    state: 'queued',
    prompt: 'hi',
    origin: null,
    answer: null,
    errorCode: null,
  },
  ...{ steps: 0, toolCalls: 0, inputTokens: 0, outputTokens: 0, isCancelRequested: false },
  ...{ createdAt: at, startedAt: null, deadlineAt: null, endedAt: null, previousId: null },
};

const position = { seq: 1, try: 0, n: 0 };
const event = (body: TurnEventBody): FeedItem => ({ position, event: { seq: 1, turnId: 't1', at, body } });
const says = (text: string): FeedItem => ({
  position,
  delta: { turnId: 't1', step: 0, index: null, body: { type: 'answer.delta', text } },
});
const BEGIN = [event({ type: 'turn.queued', position: 1 }), event({ type: 'turn.started', position: 1 })];
const command = { step: 0, index: 0, cmdId: 'c', tool: 'bash' } as const;

/** A turn of one command between two texts, live text cut into pieces of this size. */
function itemsOf(text: string, size: number, outcome: 'completed' | 'failed'): FeedItem[] {
  const pieces = Array.from({ length: Math.ceil(text.length / size) }, (_, n) => text.slice(n * size, (n + 1) * size));
  return [
    ...BEGIN,
    ...pieces.map(says),
    event({ type: 'step.answered', step: 0, text, calls: [{ index: 0, cmdId: 'c', tool: 'bash', title: 'ls' }] }),
    event({ type: 'command.started', ...command }),
    event({ type: 'command.ended', ...command, outcome: 'exited', exitCode: 0, outputBytes: 3, output: 'abc' }),
    event({ type: 'step.answered', step: 1, text: 'Done.', calls: [] }),
    event({ type: 'turn.ended', outcome, code: outcome === 'failed' ? 'INTERNAL' : null }),
  ];
}

interface Sent {
  readonly type: string;
  readonly sequence_number: number;
  readonly delta?: string;
  readonly response?: { readonly status: string; readonly output: unknown[] };
}

async function read(
  items: readonly FeedItem[],
  { shown = 'text', startingAfter }: { shown?: CommandsShown; startingAfter?: number } = {},
): Promise<Sent[]> {
  const end = items.at(-1);
  const body = end !== undefined && 'event' in end ? end.event.body : undefined;
  const ended: TurnView = {
    ...turn,
    ...(body?.type === 'turn.ended' ? { state: body.outcome, errorCode: body.code, endedAt: at } : {}),
  };
  const events = toResponseEvents({ turn, shown, startingAfter, read: () => Promise.resolve(ended) });
  let text = events.opening ?? '';
  for (const item of items) text += await events.textOf(item);
  return text.split('\n\n').flatMap((block) => {
    const [, type, data] = /^event: (.*)\ndata: (.*)$/.exec(block) ?? [];
    if (data === undefined) return [];
    const sent = JSON.parse(data) as Sent;
    expect(sent.type).toBe(type);
    return [sent];
  });
}

const deltas = (sent: readonly Sent[]): string => sent.map(({ delta = '' }) => delta).join('');

describe("a response's events", () => {
  it('come in the order of the API', async () => {
    const sent = await read([...BEGIN, says('Hel'), says('lo'), ...itemsOf('Hello', 9, 'completed').slice(-1)]);
    expect(sent.map(({ type }) => type.replace('response.', ''))).toEqual([
      ...['created', 'queued', 'in_progress', 'output_item.added', 'content_part.added'],
      ...[
        'output_text.delta',
        'output_text.delta',
        'output_text.done',
        'content_part.done',
        'output_item.done',
        'completed',
      ],
    ]);
    expect(sent.at(-1)?.response).toMatchObject({ status: 'completed', output: [{ content: [{ text: 'Hello' }] }] });
  });

  it('of a turn that failed end so, with what was said', async () => {
    const sent = await read(itemsOf('Hello', 2, 'failed'));
    expect(sent.at(-1)).toMatchObject({
      type: 'response.failed',
      response: { status: 'failed', error: { code: 'INTERNAL' }, output: [{ status: 'incomplete' }] },
    });
  });

  it('are numbered upwards, and go on behind any of them however the text is cut', async () => {
    const size = fc.integer({ min: 1, max: 9 });
    const shown = fc.constantFrom<CommandsShown>('text', 'annotation', 'none');
    const text = fc.string({ unit: 'grapheme-ascii', maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(text, size, size, shown, fc.nat(), async (said, one, other, how, pick) => {
        const first = await read(itemsOf(said, one, 'completed'), { shown: how });
        const numbers = first.map(({ sequence_number: number }) => number);
        expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
        const heard = first.slice(0, 1 + (pick % (first.length - 1)));
        const startingAfter = heard.at(-1)?.sequence_number ?? 0;
        const rest = await read(itemsOf(said, other, 'completed'), { shown: how, startingAfter });
        expect(rest.every(({ sequence_number: number }) => number > startingAfter)).toBe(true);
        expect(deltas(heard) + deltas(rest)).toBe(deltas(first));
        const kinds = (sent: readonly Sent[]): string[] =>
          sent.map(({ type }) => type).filter((type) => !/delta/.test(type));
        expect([...kinds(heard), ...kinds(rest)]).toEqual(kinds(first));
      }),
    );
  });

  it("end for whoever heard text that was not kept, of a model's try that broke off or of a turn that was cancelled", async () => {
    const cancelled = [...BEGIN, event({ type: 'turn.ended', outcome: 'cancelled', code: 'CANCELLED' })];
    const heard = await read([...BEGIN, says('A long answer that nobody ends')]);
    for (const { sequence_number: startingAfter } of heard) {
      for (const [items, status] of [
        [cancelled, 'cancelled'],
        [itemsOf('', 1, 'completed'), 'completed'],
      ] as const) {
        const end = (await read(items, { shown: 'none', startingAfter })).at(-1);
        expect(end?.response).toMatchObject({ status });
        expect(end?.sequence_number).toBeGreaterThan(startingAfter);
      }
    }
  });

  it('tell the end again to whoever asks behind it', async () => {
    let startingAfter = (await read(itemsOf('Hello', 2, 'completed'))).at(-1)?.sequence_number ?? 0;
    for (let times = 0; times < 3; times += 1) {
      const again = await read(itemsOf('Hello', 2, 'completed'), { startingAfter });
      expect(again).toMatchObject([{ type: 'response.completed', response: { status: 'completed' } }]);
      expect(again[0]?.sequence_number).toBeGreaterThan(startingAfter);
      startingAfter = again[0]?.sequence_number ?? 0;
    }
  });

  it('go on behind text that began anew', async () => {
    const restart: FeedItem = {
      position,
      delta: { turnId: 't1', step: 0, index: null, body: { type: 'part.restarted' } },
    };
    const whole = itemsOf('Whole answer', 4, 'completed');
    const first = await read([...BEGIN, says('Cut o'), restart, ...whole.slice(2)]);
    const numbers = first.map(({ sequence_number: number }) => number);
    expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
    const anew = first.findIndex(({ delta = '' }) => delta.includes('begins anew'));
    expect(first[anew]?.delta).toMatch(/\n\nWhol$/);
    const rest = await read(whole, { startingAfter: numbers[anew] ?? 0 });
    expect(deltas(rest)).toBe(deltas(first.slice(anew + 1)));
    expect(first.at(-1)?.response?.output).toEqual(rest.at(-1)?.response?.output);
  });
});
