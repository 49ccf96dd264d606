/**
 * Goal: a turn's AG-UI events pass the official client's own checks of shape and order, and leave it with what the record holds.
 * Method: turns made up at random, with live text that is begun anew and has gaps, read by the official agent.
 */
import { HttpAgent, type Message } from '@ag-ui/client';
import { EventSchema } from '@ag-ui/core/schemas';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { argumentsOf, NOT_RUN } from '../../../src/gateway/call-words.js';
import { AgUiStream } from '../../../src/gateway/ag-ui-stream.js';
import type { TranscriptEntry } from '../../../src/store/transcript.js';
import { runs } from '../../support/properties.js';
import { eventsIn, madeTurn, sentBy, TURN_ID, type MadeTurn } from './support/made-turns.js';

const USER: Message = { id: 'm1', role: 'user', content: 'hello' };
const run = { threadId: 'thread', runId: TURN_ID };

/** An agent that has these messages, and the answers that it gets, one for each run. */
function createAgent(messages: readonly Message[], answers: readonly string[]): HttpAgent {
  const left = [...answers];
  const answer = (): Promise<Response> => Promise.resolve(new Response(left.shift() ?? ''));
  return new HttpAgent({
    url: 'http://gateway',
    threadId: run.threadId,
    initialMessages: [...messages],
    fetch: answer,
  });
}

/** Messages that hold, in few words. */
const said = (messages: readonly Message[]): unknown[] =>
  messages
    .filter(({ metadata }) => (metadata?.['innkeeper'] as { void?: boolean } | undefined)?.void !== true)
    .map((message) => {
      if (message.role === 'tool') return { of: message.toolCallId, result: message.content };
      const calls = message.role === 'assistant' ? (message.toolCalls ?? []) : [];
      return {
        ...{ role: message.role, text: message.content ?? '' },
        calls: calls.map((call) => ({ id: call.id, name: call.function.name, arguments: call.function.arguments })),
      };
    });

/** The same by the record. */
function recorded(entries: readonly TranscriptEntry[]): unknown[] {
  return entries.flatMap(({ step, text, calls }) => {
    const id = (index: number): string => `${TURN_ID}/${step ?? 0}/${index}`;
    const made = calls.map((call) => ({
      id: id(call.index),
      name: call.tool,
      arguments: JSON.stringify(argumentsOf(call)),
    }));
    // A step that says nothing and does nothing is no message.
    if (text === '' && calls.length === 0) return [];
    const results = calls.map(({ index, outcome, output }) => ({
      of: id(index),
      result: outcome === null ? NOT_RUN : output,
    }));
    return [{ role: 'assistant', text, calls: made }, ...results];
  });
}

/** Follows the run, which has to end as the turn did. */
async function follow({ state }: MadeTurn, agent: HttpAgent): Promise<void> {
  let end = '';
  await agent.runAgent(
    { runId: TURN_ID },
    {
      onRunFinishedEvent: ({ outcome }) => void (end = outcome === 'success' ? 'completed' : outcome),
      onRunErrorEvent: ({ event }) => void (end = event.code === 'INTERNAL' ? 'failed' : 'other'),
    },
  );
  expect(end).toBe(state);
}

describe("a run's events", () => {
  it('pass the checks of the official client, which ends with what the record holds', async () => {
    await fc.assert(
      fc.asyncProperty(madeTurn, async (turn) => {
        const text = sentBy(new AgUiStream({ ...run, messages: [USER] }), turn.items);
        for (const event of eventsIn(text)) EventSchema.parse(event);
        const agent = createAgent([USER], [text]);
        await follow(turn, agent);
        expect(said(agent.messages)).toEqual([{ role: 'user', text: 'hello', calls: [] }, ...recorded(turn.entries)]);
        expect(new Set(agent.messages.map(({ id }) => id)).size).toBe(agent.messages.length);
      }),
      runs(60),
    );
  });

  it('that break off and are followed again from their beginning double nothing', async () => {
    await fc.assert(
      fc.asyncProperty(madeTurn, fc.nat(30), async (turn, cut) => {
        const first = sentBy(new AgUiStream({ ...run, messages: [USER] }), turn.items.slice(0, cut));
        const agent = createAgent([USER], [first]);
        await agent.runAgent({ runId: TURN_ID });
        const again = sentBy(new AgUiStream({ ...run, messages: agent.messages }), turn.items);
        const resumed = createAgent(agent.messages, [again]);
        await follow(turn, resumed);
        expect(said(resumed.messages)).toEqual([{ role: 'user', text: 'hello', calls: [] }, ...recorded(turn.entries)]);
      }),
      runs(60),
    );
  });

  it('name what the protocol has no word for as our own events are named', () => {
    const at = { seq: 1, try: 0, n: 0 };
    const body = { type: 'machine.phase', phase: 'waking', generation: 3 } as const;
    const text = new AgUiStream({ ...run, messages: [] }).textOf({
      ...{ position: at, event: { seq: 1, turnId: null, at: '', body } },
    });
    expect(eventsIn(text)).toEqual([
      { type: 'CUSTOM', name: 'machine.phase', value: { phase: 'waking', generation: 3 } },
    ]);
  });
});
