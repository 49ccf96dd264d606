/** A turn as the response object of OpenAI's Responses API. */
import { z } from 'zod';
import type { TurnRef, TurnView } from '../client.js';
import { openAiId } from './openai-ids.js';
import { commandView, MODEL, secondsOf, toOpenAiError, toTurnError } from './openai-shape.js';
import type { TurnText } from './turn-text.js';

const messageView = z.object({
  type: z.literal('message'),
  id: z.string(),
  role: z.literal('assistant'),
  status: z.enum(['in_progress', 'completed', 'incomplete']),
  content: z.array(
    z.object({
      type: z.literal('output_text'),
      text: z.string(),
      annotations: z.array(z.never()),
      logprobs: z.array(z.never()),
    }),
  ),
});

export const responseView = z
  .object({
    id: z.string(),
    object: z.literal('response'),
    created_at: z.int(),
    completed_at: z.int().nullable(),
    status: z.enum(['queued', 'in_progress', 'completed', 'failed', 'cancelled']),
    error: z.object({ code: z.string().describe('The stable code'), message: z.string() }).nullable(),
    incomplete_details: z.null(),
    instructions: z.null(),
    max_output_tokens: z.null(),
    metadata: z.object({}),
    model: z.string(),
    output: z.array(messageView),
    parallel_tool_calls: z.literal(false),
    previous_response_id: z.string().nullable().describe('As it was sent; null where it is read later'),
    temperature: z.null(),
    text: z.object({ format: z.object({ type: z.literal('text') }) }),
    tool_choice: z.literal('auto'),
    tools: z.array(z.never()),
    top_p: z.null(),
    truncation: z.literal('disabled'),
    usage: z
      .object({
        input_tokens: z.int(),
        input_tokens_details: z.object({ cached_tokens: z.int() }),
        output_tokens: z.int(),
        output_tokens_details: z.object({ reasoning_tokens: z.int() }),
        total_tokens: z.int(),
      })
      .nullable(),
    user: z.string(),
    innkeeper: z.object({ commands: z.array(commandView) }).optional(),
  })
  .meta({ id: 'OpenAiResponse' });

export type ResponseView = z.output<typeof responseView>;
export type MessageView = z.output<typeof messageView>;

/** A turn with what names it for others. */
export type ResponseTurn = TurnView & TurnRef & { readonly previousId: string | null };

const STATUS = {
  queued: 'queued',
  running: 'in_progress',
  completed: 'completed',
  failed: 'failed',
  cancelled: 'cancelled',
} as const satisfies Record<TurnView['state'], ResponseView['status']>;

/** @param said what there is to show of it; undefined: nothing yet */
export function toResponse(turn: ResponseTurn, said?: TurnText): ResponseView {
  const { state, inputTokens, outputTokens, endedAt, userId } = turn;
  const commands = said?.commands ?? [];
  const isCompleted = state === 'completed';
  const hasMessage = said !== undefined && (isCompleted || said.length > 0);
  return {
    ...{ id: openAiId('resp', turn), object: 'response', created_at: secondsOf(turn.createdAt) },
    completed_at: isCompleted && endedAt !== null ? secondsOf(endedAt) : null,
    status: STATUS[state],
    error: state === 'failed' || state === 'cancelled' ? toResponseError(turn) : null,
    ...{ incomplete_details: null, instructions: null, max_output_tokens: null, metadata: {}, model: MODEL },
    output: hasMessage ? [toMessage(turn, said.text, statusOfMessage(state))] : [],
    ...{ parallel_tool_calls: false, previous_response_id: turn.previousId, temperature: null },
    ...{ text: { format: { type: 'text' } }, tool_choice: 'auto', tools: [], top_p: null, truncation: 'disabled' },
    usage: endedAt === null ? null : toUsage(inputTokens, outputTokens),
    user: userId,
    ...(commands.length === 0 ? {} : { innkeeper: { commands: [...commands] } }),
  };
}

export function toMessage(turn: TurnRef, text: string | undefined, status: MessageView['status']): MessageView {
  const content = text === undefined ? [] : [toPart(text)];
  return { type: 'message', id: openAiId('msg', turn), role: 'assistant', status, content };
}

export function toPart(text: string): MessageView['content'][number] {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}

function statusOfMessage(state: TurnView['state']): MessageView['status'] {
  if (state === 'completed') return 'completed';
  return state === 'queued' || state === 'running' ? 'in_progress' : 'incomplete';
}

function toResponseError(turn: TurnView): ResponseView['error'] {
  const { code, message } = toOpenAiError(toTurnError(turn));
  return { code, message };
}

function toUsage(input: number, output: number): ResponseView['usage'] {
  return {
    ...{ input_tokens: input, input_tokens_details: { cached_tokens: 0 } },
    ...{ output_tokens: output, output_tokens_details: { reasoning_tokens: 0 } },
    total_tokens: input + output,
  };
}
