/** OpenAI's Responses API: a response is a turn, and its id says whose, so that none is stored. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { TurnRef } from '../client.js';
import { InnkeeperError } from '../contracts/errors.js';
import { createChatTurns, readTurnText } from './chat-turns.js';
import { parseResponseId } from './openai-ids.js';
import { toResponseEvents, type ResponseEventsOf } from './openai-response-events.js';
import { responseView, toResponse, type ResponseTurn } from './openai-response-view.js';
import {
  assertModel,
  commandsHeader,
  createHeaders,
  JSON_TYPE,
  lastOfUser,
  MODEL,
  openAiErrors,
  openAiRoute,
  toPrompt,
  toTurnError,
  userHeader,
  userInHeader,
} from './openai-shape.js';
import type { Gateway, RouteParts } from './parts.js';
import { streamTurn } from './turn-stream.js';

const body = z
  .looseObject({
    model: z.string().nullish().describe(`\`${MODEL}\``),
    input: z
      .union([
        z.string(),
        z.array(z.looseObject({ role: z.string().optional(), content: z.unknown().optional() })).min(1),
      ])
      .describe('The message, or items of which the last of the user is the message'),
    user: z.string().nullish().describe('The user whose machine it is; for keys'),
    stream: z.boolean().nullish(),
    background: z.boolean().nullish().describe('Answered at once; the response is read by its id'),
    previous_response_id: z
      .string()
      .nullish()
      .describe('A response of this user: their conversation goes on at its end'),
    text: z.looseObject({ format: z.looseObject({ type: z.literal('text') }).nullish() }).nullish(),
    tool_choice: z.enum(['auto', 'none']).nullish().describe("The client's tools are not called"),
    conversation: z.null().optional().describe('A user has one conversation, which needs no name'),
  })
  .meta({ id: 'ResponseRequest' });

const params = z.object({ response: z.string().describe('The id of a response') });
const query = z.object({
  stream: z.stringbool().optional(),
  starting_after: z.coerce.number().int().min(0).optional().describe('Number of the last event that is known'),
});
const headers = z.object({ ...userHeader, ...commandsHeader });

const wholeOrStream = (description: string) => ({
  description,
  content: { [JSON_TYPE]: { schema: responseView }, 'text/event-stream': { schema: z.string() } },
});

export function addResponseRoutes(app: Gateway, parts: RouteParts): void {
  const { client, store, nameUser, holds } = parts;
  const turns = createChatTurns(parts);

  app.post(
    '/v1/responses',
    openAiRoute({
      ...{ summary: "Say something, by OpenAI's Responses API", body, headers: createHeaders },
      response: { 200: wholeOrStream('The response, whole or as it is made'), ...openAiErrors },
    }),
    async (request, reply) => {
      const { model, input, user, stream, background, previous_response_id: previousId = null } = request.body;
      const userId = await nameUser(request, [user, userInHeader(request.headers)]);
      assertModel(model);
      if (previousId !== null) await assertKnown(previousId, userId);
      const content = typeof input === 'string' ? input : lastOfUser(input)?.content;
      const prompt = toPrompt(content, { param: 'input', partType: 'input_text' });
      const turn = { ...(await turns.submit(request, { userId, prompt })), userId, previousId };
      const shown = request.headers['x-innkeeper-commands'];
      if (stream === true) {
        return follow(request, reply, { turn, shown, startingAfter: undefined });
      }
      if (background === true) return reply.send(toResponse(turn));
      const ended = await turns.result(request, reply, turn);
      if (ended === undefined) return reply;
      if (ended.state !== 'completed') {
        void reply.header('x-should-retry', 'false');
        throw toTurnError(ended);
      }
      return reply.send(toResponse({ ...turn, ...ended }, await readTurnText(store, turn, shown)));
    },
  );

  app.get(
    '/v1/responses/:response',
    openAiRoute({
      ...{ summary: 'Read a response, or follow it from any of its events', params, querystring: query, headers },
      response: { 200: wholeOrStream('The response as it stands, or its events'), ...openAiErrors },
    }),
    async (request, reply) => {
      const turn = await turnNamedBy(request, request.params.response);
      const shown = request.headers['x-innkeeper-commands'];
      const { stream, starting_after: startingAfter } = request.query;
      if (stream !== true) return reply.send(toResponse(turn, await readTurnText(store, turn, shown)));
      return follow(request, reply, { turn, shown, startingAfter });
    },
  );

  app.post(
    '/v1/responses/:response/cancel',
    openAiRoute({
      ...{ summary: 'Cancel a response, waiting or being made', params, headers },
      response: { 200: responseView, ...openAiErrors },
    }),
    async (request) => {
      const turn = await turnNamedBy(request, request.params.response);
      await client.cancelTurn(turn);
      // The lane ends what runs: shortly, but not at once.
      await client.turnResult({ ...turn, timeoutMs: holds.cancelMs, signal: parts.closing }).catch(() => undefined);
      const ended = { ...turn, ...(await client.getTurn(turn)) };
      return toResponse(ended, await readTurnText(store, turn, request.headers['x-innkeeper-commands']));
    },
  );

  function follow(request: FastifyRequest, reply: FastifyReply, of: Omit<ResponseEventsOf, 'read'>) {
    const { userId, turnId } = of.turn;
    const projection = toResponseEvents({ ...of, read: () => client.getTurn({ userId, turnId }) });
    return streamTurn(parts, request, reply, { userId, turnId, projection });
  }

  /** Of another user it is as unknown as of nobody. @throws InnkeeperError TURN_UNKNOWN */
  async function turnNamedBy(
    request: FastifyRequest & { readonly headers: z.output<typeof headers> },
    id: string,
  ): Promise<ResponseTurn> {
    const ref = parseResponseId(id);
    if (ref === undefined) throw unknown();
    // A key reaches every user, unless it says for whom it asks.
    const inId = request.principal?.kind === 'key' ? ref.userId : undefined;
    const userId = await nameUser(request, [userInHeader(request.headers) ?? inId]);
    return { ...(await turnOf(ref, userId)), userId, previousId: null };
  }

  async function assertKnown(id: string, userId: string): Promise<void> {
    const ref = parseResponseId(id);
    if (ref === undefined) throw unknown('previous_response_id');
    await turnOf(ref, userId, 'previous_response_id');
  }

  async function turnOf(ref: TurnRef, userId: string, param?: string) {
    if (ref.userId !== userId) throw unknown(param);
    try {
      return await client.getTurn(ref);
    } catch (error) {
      throw InnkeeperError.is(error) && (error.code === 'USER_UNKNOWN' || error.code === 'TURN_UNKNOWN')
        ? unknown(param)
        : error;
    }
  }
}

function unknown(param?: string): InnkeeperError {
  const details = param === undefined ? {} : { details: { param } };
  return new InnkeeperError('TURN_UNKNOWN', 'This user has no such response.', details);
}
