/**
 * Goal: whatever the transcript holds, the model is sent messages that every service accepts, within the limit, with the current
 * turn's prompt untouched. Method: properties over arbitrary transcripts, and one example per rule.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ChatMessage } from '../../../src/model/chat-model.js';
import { buildContext, contextBytes, type ContextTurn, type TranscriptEntry } from '../../../src/model/context.js';

const system = 'You are an agent.';
const text = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constant('x'.repeat(5_000)),
);
const callId = fc.constantFrom('', 'a', 'b', 'c', 'd');
const entry: fc.Arbitrary<TranscriptEntry> = fc.oneof(
  fc.record({ kind: fc.constant('user' as const), text }),
  fc.record({ kind: fc.constant('note' as const), text: fc.string({ maxLength: 40 }) }),
  fc.record({ kind: fc.constant('tool' as const), toolCallId: callId, text }),
  fc.record({
    kind: fc.constant('assistant' as const),
    text,
    toolCalls: fc.array(
      fc.record({
        id: callId,
        name: fc.oneof(fc.constant('bash'), fc.string({ maxLength: 80 })),
        argumentsJson: fc.oneof(fc.constant('{"command":"ls"}'), text, fc.json()),
      }),
      { maxLength: 4 },
    ),
  }),
);
const turn: fc.Arbitrary<ContextTurn> = fc.record({
  turnId: fc.uuid(),
  entries: fc.array(entry, { maxLength: 8 }).map((entries) => [{ kind: 'user' as const, text: 'do it' }, ...entries]),
});
const turns = fc.array(turn, { minLength: 1, maxLength: 6 });

/** What services demand: answers right behind their call, one each, unique ids, usable names, arguments that are objects. */
function assertAcceptable(messages: readonly ChatMessage[]): void {
  let open: string[] = [];
  messages.forEach((message, index) => {
    expect(message.role === 'system').toBe(index === 0);
    if (message.role === 'tool') {
      expect(message.toolCallId).toBe(open.shift());
      expect(message.content).not.toBe('');
      return;
    }
    expect(open).toEqual([]);
    if (message.role !== 'assistant') return;
    open = message.toolCalls.map((call) => call.id);
    expect(new Set(open).size).toBe(open.length);
    expect(message.content !== '' || open.length > 0).toBe(true);
    for (const call of message.toolCalls) {
      expect(call.name).toMatch(/^[\w-]{1,64}$/);
      const value: unknown = JSON.parse(call.argumentsJson);
      expect(typeof value === 'object' && value !== null && !Array.isArray(value)).toBe(true);
    }
  });
  expect(open).toEqual([]);
}

describe('any transcript', () => {
  test('is turned into messages that services accept, however little room there is', () => {
    fc.assert(
      fc.property(turns, fc.integer({ min: 0, max: 60_000 }), (list, bytesMax) => {
        assertAcceptable(buildContext({ systemPrompt: system, turns: list, bytesMax }));
      }),
    );
  });

  test('fits the limit wherever its untouchable part does', () => {
    fc.assert(
      fc.property(turns, fc.integer({ min: 0, max: 60_000 }), (list, bytesMax) => {
        const messages = buildContext({ systemPrompt: system, turns: list, bytesMax });
        const least = contextBytes(buildContext({ systemPrompt: system, turns: list, bytesMax: 0 }));
        expect(contextBytes(messages)).toBeLessThanOrEqual(Math.max(bytesMax, least));
      }),
    );
  });

  test('keeps what the person said in the current turn word for word', () => {
    fc.assert(
      fc.property(turns, fc.integer({ min: 0, max: 20_000 }), (list, bytesMax) => {
        const said = list.at(-1)!.entries.flatMap((item) => (item.kind === 'user' ? [item.text || '(empty)'] : []));
        const sent = buildContext({ systemPrompt: system, turns: list, bytesMax }).flatMap((message) =>
          message.role === 'user' && !message.content.startsWith('<system-note>') ? [message.content] : [],
        );
        expect(sent.slice(-said.length)).toEqual(said);
      }),
    );
  });

  test('gives the same messages for the same input', () => {
    fc.assert(
      fc.property(turns, fc.integer({ min: 0, max: 60_000 }), (list, bytesMax) => {
        const request = { systemPrompt: system, turns: list, bytesMax };
        expect(buildContext(request)).toEqual(buildContext(structuredClone(request)));
      }),
    );
  });
});

function chat(turnId: string, outputs: string[]): ContextTurn {
  return {
    turnId,
    entries: [
      { kind: 'user', text: `prompt of ${turnId}` },
      ...outputs.flatMap((output, index): TranscriptEntry[] => [
        { kind: 'assistant', text: '', toolCalls: [{ id: `c${index}`, name: 'bash', argumentsJson: '{}' }] },
        { kind: 'tool', toolCallId: `c${index}`, text: output },
      ]),
    ],
  };
}

describe('when there is not enough room', () => {
  test('the oldest whole turns go first, and the model is told', () => {
    const list = [chat('1', ['a'.repeat(4_000)]), chat('2', ['b'.repeat(4_000)]), chat('3', ['c'.repeat(4_000)])];
    const messages = buildContext({ systemPrompt: system, turns: list, bytesMax: 10_000 });
    const all = JSON.stringify(messages);
    expect(messages[1]!.content).toContain('The oldest turn of this conversation is left out');
    expect(all).not.toContain('prompt of 1');
    expect(all).toContain('prompt of 2');
    expect(all).toContain('c'.repeat(4_000));
  });

  test('long output is shortened to its head and tail even where there is room', () => {
    const output = `begin${'x'.repeat(100_000)}end`;
    const messages = buildContext({ systemPrompt: system, turns: [chat('1', [output])], bytesMax: 1_000_000 });
    const tool = messages.find((message) => message.role === 'tool')!;
    expect(tool.content).toMatch(/^begin.*\[\.\.\. \d+ bytes left out \.\.\.\].*end$/s);
    expect(Buffer.byteLength(tool.content)).toBeLessThanOrEqual(30 * 1024);
  });

  test('in the current turn the oldest outputs are shortened harder, the newest stays longest', () => {
    const list = [chat('1', ['a'.repeat(20_000), 'b'.repeat(20_000), 'c'.repeat(20_000)])];
    const tools = buildContext({ systemPrompt: system, turns: list, bytesMax: 40_000 }).filter(
      ({ role }) => role === 'tool',
    );
    expect(tools.map((tool) => Buffer.byteLength(tool.content))).toEqual([8 * 1024, 8 * 1024, 20_000]);
  });

  test('with very many steps the oldest steps of the current turn go, and the model is told', () => {
    const list = [
      chat(
        '1',
        Array.from({ length: 200 }, (_, index) => `output ${index}`),
      ),
    ];
    const messages = buildContext({ systemPrompt: system, turns: list, bytesMax: 8_000 });
    expect(contextBytes(messages)).toBeLessThanOrEqual(8_000);
    expect(messages[1]!.content).toBe('prompt of 1');
    expect(messages[2]!.content).toMatch(/\d+ earlier steps of this turn left out/);
    expect(messages.at(-1)!.content).toBe('output 199');
  });

  test('long arguments stay a JSON object', () => {
    const list: ContextTurn[] = [
      {
        turnId: '1',
        entries: [
          { kind: 'user', text: 'write' },
          {
            kind: 'assistant',
            text: '',
            toolCalls: [
              { id: 'c', name: 'write_file', argumentsJson: JSON.stringify({ content: 'x'.repeat(50_000) }) },
            ],
          },
          { kind: 'tool', toolCallId: 'c', text: 'ok' },
        ],
      },
    ];
    const messages = buildContext({ systemPrompt: system, turns: list, bytesMax: 2_000 });
    const step = messages.find((message) => message.role === 'assistant')!;
    expect(step.role === 'assistant' && JSON.parse(step.toolCalls[0]!.argumentsJson)).toEqual({
      left_out: expect.stringContaining('bytes of arguments') as string,
    });
  });
});

describe('a transcript with gaps', () => {
  test('a call without a result is answered with that, a result without a call is left out', () => {
    const list: ContextTurn[] = [
      {
        turnId: '1',
        entries: [
          { kind: 'user', text: 'go' },
          { kind: 'tool', toolCallId: 'nobody', text: 'orphan' },
          {
            kind: 'assistant',
            text: 'trying',
            toolCalls: [{ id: 'a', name: 'bash', argumentsJson: '{"command": "echo' }],
          },
          { kind: 'note', text: 'The machine was replaced.' },
        ],
      },
    ];
    expect(buildContext({ systemPrompt: system, turns: list, bytesMax: 100_000 })).toEqual([
      { role: 'system', content: system },
      { role: 'user', content: 'go' },
      {
        role: 'assistant',
        content: 'trying',
        toolCalls: [{ id: 'a', name: 'bash', argumentsJson: '{"malformed_arguments":"{\\"command\\": \\"echo"}' }],
      },
      { role: 'tool', toolCallId: 'a', content: '(no result was recorded for this call)' },
      { role: 'user', content: '<system-note>\nThe machine was replaced.\n</system-note>' },
    ]);
  });

  test('a note between a call and its result goes behind the result', () => {
    const list: ContextTurn[] = [
      {
        turnId: '1',
        entries: [
          { kind: 'user', text: 'go' },
          { kind: 'assistant', text: '', toolCalls: [{ id: 'a', name: 'bash', argumentsJson: '{}' }] },
          { kind: 'note', text: 'n' },
          { kind: 'tool', toolCallId: 'a', text: 'late' },
        ],
      },
    ];
    const messages = buildContext({ systemPrompt: system, turns: list, bytesMax: 100_000 });
    expect(messages.map((message) => message.role)).toEqual(['system', 'user', 'assistant', 'tool', 'user']);
  });

  test('turns that were not even read are said to be left out', () => {
    const one: ContextTurn = { turnId: '1', entries: [{ kind: 'user', text: 'go' }] };
    const messages = buildContext({ systemPrompt: system, turns: [one], omitsEarlier: true, bytesMax: 100_000 });
    expect(messages.map(({ content }) => content)).toEqual([
      system,
      expect.stringContaining('The oldest turns of this conversation are left out here'),
      'go',
    ]);
  });
});
