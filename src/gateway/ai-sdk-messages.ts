/** The transcript as the AI SDK's UI messages: what its clients have made of the streams by the end of each turn. */
import { z } from 'zod';
import type { EventCall, TurnEventBody } from '../contracts/events.js';
import type { TranscriptCall, TranscriptEntry } from '../store/transcript.js';
import { argumentsOf, callIdOf, hasEnded, NOT_RUN } from './call-words.js';

export const uiMessage = z
  .object({
    id: z.string().describe("A user's message: the turn's id"),
    role: z.enum(['user', 'assistant', 'system']),
    metadata: z
      .looseObject({ turnId: z.string(), state: z.string(), errorCode: z.string().optional() })
      .optional()
      .describe('Of an answer'),
    parts: z.array(z.looseObject({ type: z.string() })),
  })
  .meta({ id: 'UiMessage' });
type UiMessage = z.infer<typeof uiMessage>;

/** Of the turn's one message of the assistant. No turn's id has a "/". */
export const answerIdOf = (turnId: string): string => `${turnId}/answer`;
/** Marks text that was told live and is not in the record. */
export const IS_VOID = { providerMetadata: { innkeeper: { void: true } } } as const;
/** Names the command's output. */
export const ofCall = ({ cmdId }: Pick<EventCall, 'cmdId'>) => ({ providerMetadata: { innkeeper: { cmdId } } });

type CommandEnd = Pick<
  Extract<TurnEventBody, { type: 'command.ended' }>,
  'outcome' | 'exitCode' | 'output' | 'outputBytes'
>;

/** How a command ended, as a tool's. */
export function endOf({ outcome, exitCode, output, outputBytes }: CommandEnd) {
  return hasEnded(outcome)
    ? ({ state: 'output-available', output: { output, outcome, exitCode, outputBytes } } as const)
    : ({ state: 'output-error', errorText: output === '' ? outcome : output } as const);
}

/** Oldest first, as they are in the entries. The answer of a turn that is not over is left out. */
export function toUiMessages(entries: readonly TranscriptEntry[]): UiMessage[] {
  const messages: UiMessage[] = [];
  const answers = new Map<string, UiMessage>();
  for (const entry of entries) {
    const { turnId, kind, text, seq } = entry;
    if (turnId === null || kind === 'note') messages.push(said(`note/${seq}`, 'system', text));
    else if (kind === 'user') messages.push(said(turnId, 'user', text));
    else if (entry.turnState !== 'queued' && entry.turnState !== 'running') {
      const known = answers.get(turnId);
      const answer = known ?? emptyAnswer(turnId, entry);
      if (known === undefined) messages.push(answer);
      answers.set(turnId, answer);
      answer.parts.push(...partsOf(turnId, entry));
    }
  }
  return messages;
}

function said(id: string, role: 'user' | 'system', text: string): UiMessage {
  return { id, role, parts: [{ type: 'text', text }] };
}

function emptyAnswer(turnId: string, { turnState, errorCode }: TranscriptEntry): UiMessage {
  const metadata = { turnId, state: turnState ?? '', ...(errorCode === null ? {} : { errorCode }) };
  return { id: answerIdOf(turnId), role: 'assistant', metadata, parts: [] };
}

function partsOf(turnId: string, { step, text, calls }: TranscriptEntry): UiMessage['parts'] {
  return [
    { type: 'step-start' },
    ...(text === '' ? [] : [{ type: 'text', text, state: 'done' }]),
    ...calls.map((call) => toolPart(callIdOf({ turnId, step: step ?? 0, index: call.index }), call)),
  ];
}

function toolPart(toolCallId: string, call: TranscriptCall): UiMessage['parts'][number] {
  const { tool: toolName, outcome, exitCode, output, outputBytes } = call;
  const end =
    outcome === null
      ? { state: 'output-error', errorText: NOT_RUN }
      : endOf({ outcome, exitCode, output, outputBytes: outputBytes ?? 0 });
  return {
    ...{ type: 'dynamic-tool', toolName, toolCallId, providerExecuted: true, input: argumentsOf(call), ...end },
    callProviderMetadata: ofCall(call).providerMetadata,
  };
}
