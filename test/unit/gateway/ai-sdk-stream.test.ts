/**
 * Goal: a turn's UI message stream keeps the order that the protocol asks for, and ends as the message that the transcript gives.
 * Method: turns made up at random, with live text that is begun anew and has gaps; the official reader, and the rules beside it.
 */
import { DefaultChatTransport, readUIMessageStream, type UIMessage } from 'ai';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toUiMessages } from '../../../src/gateway/ai-sdk-messages.js';
import { AiSdkStream } from '../../../src/gateway/ai-sdk-stream.js';
import { runs } from '../../support/properties.js';
import { eventsIn, madeTurn, sentBy, TURN_ID } from './support/made-turns.js';

/** What the official client makes of a stream: the message, and what it took for errors. */
async function readMessage(text: string): Promise<{ message: UIMessage; errors: unknown[] }> {
  const transport = new DefaultChatTransport({ fetch: () => Promise.resolve(new Response(text)) });
  const errors: unknown[] = [];
  const about = {
    chatId: 'c',
    messageId: undefined,
    messages: [],
    abortSignal: undefined,
    trigger: 'submit-message',
  } as const;
  const stream = await transport.sendMessages({ ...about, messages: [] });
  let message: UIMessage | undefined;
  for await (const next of readUIMessageStream({ stream, onError: (error) => errors.push(error) })) message = next;
  if (message === undefined) throw new Error('no message came');
  return { message, errors };
}

type Marked = { readonly innkeeper?: { readonly void?: boolean } } | undefined;
const isVoid = (part: Part): boolean =>
  [part['providerMetadata'], part['resultProviderMetadata']].some(
    (about) => (about as Marked)?.innkeeper?.void === true,
  );

type Part = Record<string, unknown>;

/** Each step's text before its calls: it comes behind those that were told before any of it. */
function inOrder(parts: readonly Part[]): Part[] {
  let step = 0;
  const keyed = parts.map((part) => {
    if (part['type'] === 'step-start') step += 1;
    return {
      part,
      key: `${step} ${['step-start', 'text', 'dynamic-tool'].indexOf(String(part['type']))} ${String(part['toolCallId'])}`,
    };
  });
  return keyed.toSorted((one, other) => one.key.localeCompare(other.key)).map(({ part }) => part);
}

/** Throws where the stream does something out of its order. */
function checkOrder(chunks: readonly Record<string, unknown>[]): void {
  const texts = new Map<unknown, 'open' | 'over'>();
  const calls = new Map<unknown, 'coming' | 'made' | 'over'>();
  let isInStep = false;
  chunks.forEach((chunk, at) => {
    const { type, id, toolCallId } = chunk;
    const call = calls.get(toolCallId);
    const must = (isSo: boolean): void => {
      if (!isSo) throw new Error(`${JSON.stringify(chunk)} at ${at}`);
    };
    must((type === 'start') === (at === 0));
    if (/^(text|tool)-/.test(String(type))) must(isInStep);
    if (/^tool-(?!input-delta)/.test(String(type)))
      must(chunk['providerExecuted'] === true && chunk['dynamic'] === true);
    switch (type) {
      case 'start-step':
        must(!isInStep);
        isInStep = true;
        break;
      case 'finish-step':
        must(
          isInStep && ![...texts.values()].includes('open') && [...calls.values()].every((state) => state === 'over'),
        );
        isInStep = false;
        break;
      case 'text-start':
        must(!texts.has(id));
        texts.set(id, 'open');
        break;
      case 'text-delta':
        must(texts.get(id) === 'open' && chunk['delta'] !== '');
        break;
      case 'text-end':
        must(texts.get(id) === 'open');
        texts.set(id, 'over');
        break;
      case 'tool-input-start':
        must(call === undefined || call === 'coming');
        calls.set(toolCallId, 'coming');
        break;
      case 'tool-input-delta':
        must(call === 'coming');
        break;
      case 'tool-input-available':
        must(call === undefined || call === 'coming');
        calls.set(toolCallId, 'made');
        break;
      case 'tool-input-error':
        must(call === 'coming');
        calls.set(toolCallId, 'over');
        break;
      case 'tool-output-available':
      case 'tool-output-error':
        must(call === 'made');
        if (chunk['preliminary'] !== true) calls.set(toolCallId, 'over');
        break;
      case 'finish':
      case 'abort':
        must(!isInStep && at === chunks.length - 1);
        break;
      case 'error':
        must(!isInStep);
    }
  });
}

describe('a UI message stream', () => {
  it('keeps the order of the protocol, and its message is the one of the record', async () => {
    await fc.assert(
      fc.asyncProperty(madeTurn, async ({ items, entries, state }) => {
        const text = sentBy(new AiSdkStream(TURN_ID), items);
        expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
        const chunks = eventsIn(text);
        checkOrder(chunks);
        expect(chunks.at(-1)?.['type']).toBe(state === 'cancelled' ? 'abort' : 'finish');
        const { message, errors } = await readMessage(text);
        expect(errors.map(String)).toEqual(state === 'failed' ? [expect.stringMatching(/^Error: INTERNAL: /)] : []);
        const parts = inOrder((message.parts as unknown as Part[]).filter((part) => !isVoid(part)));
        // A step that was never answered leaves its boundary, and nothing else.
        const length = toUiMessages(entries)[0]?.parts.length ?? 0;
        if (parts.length === length + 1 && parts.at(-1)?.['type'] === 'step-start') parts.pop();
        const heard = JSON.parse(JSON.stringify({ ...message, parts })) as unknown;
        const [recorded] = toUiMessages(entries);
        if (recorded === undefined) expect(parts).toEqual([]);
        else expect(heard).toEqual({ ...recorded, parts: inOrder(recorded.parts) });
      }),
      runs(100),
    );
  });

  it('shows the end of what is printed, without colours, until the command is over', async () => {
    const of = { step: 0, index: 0, cmdId: 'c', tool: 'bash' };
    const at = { seq: 1, try: 0, n: 0 };
    const event = (body: object) => ({ position: at, event: { seq: 1, turnId: TURN_ID, at: '', body } }) as never;
    const print = (text: string) =>
      ({ position: at, delta: { turnId: TURN_ID, step: 0, index: 0, body: { type: 'output.delta', text } } }) as never;
    const text = sentBy(new AiSdkStream(TURN_ID), [
      event({ type: 'step.answered', step: 0, text: '', calls: [{ ...of, title: 'make' }] }),
      event({ type: 'command.started', ...of }),
      print('\u001b[31mred\u001b[0m\n'),
      print('x'.repeat(9_000)),
      event({
        type: 'command.ended',
        ...of,
        outcome: 'exited',
        exitCode: 2,
        outputBytes: 9_004,
        output: 'red\n[exit code 2]',
      }),
    ]);
    const outputs = eventsIn(text).filter(({ type }) => type === 'tool-output-available');
    expect(outputs.map(({ preliminary, output }) => ({ preliminary, output }))).toEqual([
      { preliminary: true, output: { output: 'red\n' } },
      { preliminary: true, output: { output: 'x'.repeat(8_192) } },
      {
        preliminary: undefined,
        output: { output: 'red\n[exit code 2]', outcome: 'exited', exitCode: 2, outputBytes: 9_004 },
      },
    ]);
  });
});
