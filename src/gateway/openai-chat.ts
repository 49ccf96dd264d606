/** OpenAI's chat completions: a request is a turn, its answer the turn's text. */
import { z } from 'zod';
import type { TurnView } from '../client.js';
import { createChatTurns, readTurnText } from './chat-turns.js';
import type { Projection } from './event-streams.js';
import { openAiId } from './openai-ids.js';
import {
  assertModel,
  BROKEN,
  commandView,
  createHeaders,
  JSON_TYPE,
  lastOfUser,
  MODEL,
  openAiErrors,
  openAiRoute,
  secondsOf,
  toOpenAiError,
  toPrompt,
  toTurnError,
  userInHeader,
  type OpenAiError,
} from './openai-shape.js';
import type { Gateway, RouteParts } from './parts.js';
import { streamTurn } from './turn-stream.js';
import { createTurnText, type CommandsShown } from './turn-text.js';

const body = z
  .looseObject({
    model: z.string().nullish().describe(`\`${MODEL}\``),
    messages: z
      .array(z.looseObject({ role: z.string(), content: z.unknown().optional() }))
      .min(1)
      .describe('The last of the user is the new message; the others are on record here'),
    user: z.string().nullish().describe('The user whose machine it is; for keys'),
    stream: z.boolean().nullish(),
    stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
    n: z.int().min(1).max(1).nullish().describe('There is one answer'),
    response_format: z.looseObject({ type: z.literal('text') }).nullish(),
    tool_choice: z.enum(['auto', 'none']).nullish().describe("The client's tools are not called"),
  })
  .meta({ id: 'ChatCompletionRequest' });

const usageView = z.object({ prompt_tokens: z.int(), completion_tokens: z.int(), total_tokens: z.int() });
const completionView = z
  .object({
    id: z.string(),
    object: z.literal('chat.completion'),
    created: z.int(),
    model: z.string(),
    choices: z.array(
      z.object({
        index: z.int(),
        message: z.object({ role: z.literal('assistant'), content: z.string(), refusal: z.null() }),
        logprobs: z.null(),
        finish_reason: z.literal('stop'),
      }),
    ),
    usage: usageView,
    innkeeper: z.object({ commands: z.array(commandView) }).optional(),
  })
  .meta({ id: 'ChatCompletion' });

export function addChatCompletionRoutes(app: Gateway, parts: RouteParts): void {
  const { client, store, nameUser } = parts;
  const turns = createChatTurns(parts);
  app.post(
    '/v1/chat/completions',
    openAiRoute({
      ...{ summary: "Say something, by OpenAI's chat completions", body, headers: createHeaders },
      response: {
        200: {
          description: 'The answer, whole or as it is made',
          content: { [JSON_TYPE]: { schema: completionView }, 'text/event-stream': { schema: z.string() } },
        },
        ...openAiErrors,
      },
    }),
    async (request, reply) => {
      const { headers } = request;
      const { model, messages, user, stream, stream_options: options } = request.body;
      const userId = await nameUser(request, [user, userInHeader(headers)]);
      assertModel(model);
      const prompt = toPrompt(lastOfUser(messages)?.content, { param: 'messages', partType: 'text' });
      const asked = await turns.submit(request, { userId, prompt });
      const turn = { ...asked, userId };
      const shown = headers['x-innkeeper-commands'];
      if (stream === true) {
        const projection = toChunks({
          turn,
          shown,
          read: () => client.getTurn(turn),
          tellsUsage: options?.include_usage === true,
        });
        return streamTurn(parts, request, reply, { userId, turnId: turn.turnId, projection });
      }
      const ended = await turns.result(request, reply, turn);
      if (ended === undefined) return reply;
      if (ended.state !== 'completed') {
        void reply.header('x-should-retry', 'false');
        throw toTurnError(ended);
      }
      const { text: content, commands } = await readTurnText(store, turn, shown);
      const message = { role: 'assistant' as const, content, refusal: null };
      return reply.send({
        ...{
          id: openAiId('chatcmpl', turn),
          object: 'chat.completion',
          created: secondsOf(turn.createdAt),
          model: MODEL,
        },
        choices: [{ index: 0, message, logprobs: null, finish_reason: 'stop' }],
        usage: toUsage(ended),
        ...(shown === 'annotation' ? { innkeeper: { commands: [...commands] } } : {}),
      });
    },
  );
}

interface ChunksOf {
  readonly turn: TurnView & { readonly userId: string };
  readonly shown: CommandsShown;
  readonly tellsUsage: boolean;
  /** The turn as it stands. */
  readonly read: () => Promise<TurnView>;
}

const DONE = 'data: [DONE]\n\n';
const dataOf = (data: object): string => `data: ${JSON.stringify(data)}\n\n`;
const errorOf = (error: OpenAiError): string => dataOf({ error }) + DONE;

function toChunks({ turn, shown, tellsUsage, read }: ChunksOf): Projection {
  const text = createTurnText(shown);
  const head = {
    ...{
      id: openAiId('chatcmpl', turn),
      object: 'chat.completion.chunk',
      created: secondsOf(turn.createdAt),
      model: MODEL,
    },
  };
  const usage = tellsUsage ? { usage: null } : {};
  const chunk = (delta: object, more: object = {}, finish: 'stop' | null = null): string =>
    dataOf({ ...head, choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }], ...usage, ...more });

  async function end(): Promise<string> {
    const ended = await read();
    if (ended.state !== 'completed') return errorOf(toOpenAiError(toTurnError(ended)));
    const counted = tellsUsage ? dataOf({ ...head, choices: [], usage: toUsage(ended) }) : '';
    return chunk({}, {}, 'stop') + counted + DONE;
  }

  return {
    // At once, though the turn may wait in the queue.
    opening: chunk({ role: 'assistant', content: '' }),
    textOf(item) {
      if ('event' in item && item.event.body.type === 'turn.ended') return end();
      const { text: content, command } = text.push(item);
      return (
        (content === '' ? '' : chunk({ content })) +
        (command === undefined ? '' : chunk({}, { innkeeper: { command } }))
      );
    },
    broken: errorOf(BROKEN),
  };
}

function toUsage({ inputTokens, outputTokens }: TurnView): z.output<typeof usageView> {
  return { prompt_tokens: inputTokens, completion_tokens: outputTokens, total_tokens: inputTokens + outputTokens };
}
