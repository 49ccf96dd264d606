/**
 * The AI SDK's chat endpoint, as its `DefaultChatTransport` asks for it. A user has one conversation, and we keep it: any id of a chat names it,
 * and of the messages that a client sends only the last is read.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { TurnRef } from '../client.js';
import { InnkeeperError } from '../contracts/errors.js';
import { parseTurnId } from '../contracts/ids.js';
import { CONVERSATION_BODY_BYTES_MAX } from '../contracts/limits.js';
import { listOpenTurns } from '../store/turns.js';
import { readTranscript, type TranscriptEntry } from '../store/transcript.js';
import { toUiMessages, uiMessage } from './ai-sdk-messages.js';
import { AiSdkStream } from './ai-sdk-stream.js';
import { cancelHeaders } from './cancel-on-disconnect.js';
import type { Gateway, RouteParts } from './parts.js';
import { describe, problems, takeBody, toPosition, userOf } from './routes.js';
import { streamTurn } from './turn-stream.js';
import { pageQuery, userParams } from './views.js';

const TAGS = ['ai-sdk'] as const;
const PROTOCOL = { 'x-vercel-ai-ui-message-stream': 'v1' } as const;
const stream = { description: 'The UI message stream', content: { 'text/event-stream': { schema: z.string() } } };

const chatBody = z
  .looseObject({
    messages: z
      .array(z.looseObject({ role: z.string() }))
      .min(1)
      .describe('The last one is what the user says now'),
    trigger: z.string().optional(),
  })
  .meta({ id: 'AiSdkChat' });
const chatParams = userParams.extend({ chat: z.string().describe('Any: a user has one conversation') });
const resumeQuery = z.object({
  turn: z.string().optional().describe('The turn to follow, also where it is over; else the one that is open'),
});
const lastMessage = z.looseObject({
  id: z.string(),
  role: z.literal('user'),
  parts: z.array(z.looseObject({ type: z.literal('text'), text: z.string() })),
});
const messagesPage = z
  .object({ items: z.array(uiMessage).describe('Oldest first'), next: z.string().nullable() })
  .meta({ id: 'UiMessages' });

export function addAiSdkRoutes(app: Gateway, parts: RouteParts): void {
  const { client, store } = parts;
  app.post(
    '/v1/users/:user/ai-sdk/chat',
    {
      ...describe('user', {
        ...{ summary: 'Submit a message of an AI SDK chat, and follow its answer', tags: TAGS },
        ...{ params: userParams, headers: cancelHeaders, body: chatBody },
        response: { 200: stream, ...problems },
      }),
      bodyLimit: CONVERSATION_BODY_BYTES_MAX,
    },
    async (request, reply) => {
      const { turnId, prompt } = toTurn(takeBody(request));
      const turn = { userId: userOf(request.params), turnId };
      await client.submitTurn({ ...turn, prompt });
      return follow(request, reply, turn);
    },
  );

  app.get(
    '/v1/users/:user/ai-sdk/chat/:chat/stream',
    describe('user', {
      ...{ summary: 'Follow the answer that is being made, from its beginning', tags: TAGS },
      ...{ params: chatParams, headers: cancelHeaders, querystring: resumeQuery },
      response: { 200: stream, 204: z.null().describe('Nothing is being answered'), ...problems },
    }),
    async (request, reply) => {
      const userId = userOf(request.params);
      const { turn } = request.query;
      const turnId = turn === undefined ? await openTurnOf(userId) : parseTurnId(turn);
      if (turnId === undefined) return reply.status(204).send(null);
      await client.getTurn({ userId, turnId });
      return follow(request, reply, { userId, turnId });
    },
  );

  app.get(
    '/v1/users/:user/ai-sdk/chat/:chat/messages',
    describe('user', {
      ...{ summary: 'Read the conversation as UI messages, the latest page first', tags: TAGS },
      ...{ params: chatParams, querystring: pageQuery },
      response: { 200: messagesPage, ...problems },
    }),
    async ({ params, query: { limit, cursor } }) => {
      const before = cursor === undefined ? undefined : toPosition(cursor);
      const entries = await wholeTurns(userOf(params), limit, before);
      const first = entries[0]?.seq ?? 1;
      return { items: toUiMessages(entries), next: first > 1 ? String(first) : null };
    },
  );

  function follow(request: FastifyRequest, reply: FastifyReply, turn: TurnRef): Promise<FastifyReply> {
    void reply.headers(PROTOCOL);
    const projection = new AiSdkStream(turn.turnId);
    return streamTurn(parts, request, reply, { ...turn, projection, withMachine: true });
  }

  /** The one that runs, or else that comes next. */
  async function openTurnOf(userId: string): Promise<string | undefined> {
    const [first] = await ofKnown(listOpenTurns(store, { userId }));
    return first?.turnId;
  }

  /** About `limit` entries, oldest first; they begin with words of the user, so that no turn is cut in two. */
  async function wholeTurns(userId: string, limit: number, cursor: number | undefined): Promise<TranscriptEntry[]> {
    const latestFirst: TranscriptEntry[] = [];
    for (;;) {
      const before = latestFirst.at(-1)?.seq ?? cursor;
      const page = readTranscript(store, { userId, limit, ...(before === undefined ? {} : { before }) });
      const entries = await ofKnown(page.then((read) => read.entries));
      latestFirst.push(...entries);
      if (entries.length < limit) return latestFirst.toReversed();
      const first = latestFirst.findLastIndex(({ kind }) => kind === 'user');
      if (first !== -1) return latestFirst.slice(0, first + 1).toReversed();
    }
  }
}

/** Pages are opened before anything was said: of a user whom nobody knows there is nothing. */
async function ofKnown<T>(asked: Promise<readonly T[]>): Promise<readonly T[]> {
  try {
    return await asked;
  } catch (error) {
    if (InnkeeperError.is(error) && error.code === 'USER_UNKNOWN') return [];
    throw error;
  }
}

/** @throws InnkeeperError INVALID_INPUT */
function toTurn({ messages, trigger }: z.infer<typeof chatBody>): { turnId: string; prompt: string } {
  if (trigger === 'regenerate-message') {
    const message = 'trigger: no answer is made anew, since what was done on the machine stays done. Send a message.';
    throw new InnkeeperError('INVALID_INPUT', message);
  }
  const last = lastMessage.safeParse(messages.at(-1));
  if (!last.success) {
    const problems = last.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
    const message = `messages: the last one must be the user's, with an id, and of text alone. ${problems}`;
    throw new InnkeeperError('INVALID_INPUT', message);
  }
  const { id: turnId, parts } = last.data;
  return { turnId, prompt: parts.map(({ text }) => text).join('\n') };
}
