/**
 * A user's machine as tools of other agents: the Model Context Protocol over HTTP, without a session store. Both generations of the
 * protocol are answered; how each cancels is settled here.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { createMcpHandler } from '@modelcontextprotocol/server';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { InnkeeperError } from '../contracts/errors.js';
import type { StreamEnd } from './metrics.js';
import { createMcpServer, sessionTurnId } from './mcp-server.js';
import { describe, problems, userOf } from './routes.js';
import type { Gateway, RouteParts } from './parts.js';
import { PROBLEM_TYPE, problemSchema } from './problem.js';
import { userParams } from './views.js';

const PATH = '/v1/users/:user/mcp';
const SESSION_HEADER = 'mcp-session-id';

/** One for each request, so that a request's rate is a call's; the protocol has no other since 2025-06-18. */
const message = z
  .looseObject({
    jsonrpc: z.literal('2.0'),
    id: z.union([z.string(), z.int()]).optional(),
    method: z.string().optional(),
    params: z.looseObject({}).optional(),
  })
  .meta({ id: 'McpMessage' });
type Message = z.infer<typeof message>;

const refused = {
  description: 'The request was refused: before MCP as a problem, within it as an error of JSON-RPC',
  content: { [PROBLEM_TYPE]: { schema: problemSchema }, 'application/json': { schema: z.any() } },
};

/** Why an answer has no reader: it left, or it took nothing for so long that it was sent away. */
const LEFT = new Error('the client has left');
const STALLED = new Error('the client does not read');

export function addMcpRoutes(app: Gateway, { client, closing, eventStreams, streams }: RouteParts): void {
  app.post(
    PATH,
    describe('user', {
      ...{
        summary: "Use the user's machine as tools, by MCP (docs/clients.md)",
        tags: ['mcp'],
        params: userParams,
        body: message,
      },
      response: {
        200: {
          description: 'Answers, each a message of JSON-RPC',
          content: { 'text/event-stream': { schema: z.string() }, 'application/json': { schema: z.any() } },
        },
        202: z.any().describe('A notification was taken'),
        ...problems,
        '4xx': refused,
      },
    }),
    async (request, reply) => {
      const userId = userOf(request.params);
      const sessionId = sessionOf(request);
      if (sessionId !== undefined) await cancelNamed(userId, sessionId, request.body);
      const noteEnd = eventStreams.open(request, userId);
      let end: StreamEnd = 'failed';
      const gone = new AbortController();
      reply.raw.once('close', () => gone.abort(LEFT));
      try {
        const { fetch } = createMcpHandler(
          ({ era }) =>
            createMcpServer({
              ...{ client, userId, gone: gone.signal, closing, log: request.log },
              // The newer protocol has no sessions, and in it whoever leaves cancels; in the older one that takes a word.
              sessionId: era === 'legacy' ? sessionId : undefined,
              isCancelledWhenGone: () => era === 'modern' && gone.signal.reason === LEFT,
              heartbeatMs: streams.heartbeatMs,
            }),
          {
            // Quiet calls too must keep their connection.
            ...{ responseMode: 'sse', keepAliveMs: streams.heartbeatMs },
            // There is nothing to subscribe to: tools do not change.
            maxSubscriptions: 0,
            onerror: (error) => request.log.debug({ err: error }, 'MCP'),
          },
        );
        const answer = await fetch(toWebRequest(request, gone.signal), { parsedBody: request.body });
        if (answer.ok && request.body.method === 'initialize') answer.headers.set(SESSION_HEADER, uuidv7());
        end = await relay(answer, begin(reply, answer), gone);
      } finally {
        noteEnd(end);
      }
      return reply;
    },
  );

  /** Also where another replica holds the call: the word names its turn. One that there is not is nothing to cancel. */
  async function cancelNamed(userId: string, sessionId: string, { method, params }: Message): Promise<void> {
    const id = params?.['requestId'];
    if (method !== 'notifications/cancelled' || (typeof id !== 'string' && typeof id !== 'number')) return;
    try {
      await client.cancelTurn({ userId, turnId: sessionTurnId(sessionId, id) });
    } catch (error) {
      if (!InnkeeperError.is(error) || error.kind !== 'rejected') throw error;
    }
  }

  async function relay(answer: Response, raw: ServerResponse, gone: AbortController): Promise<StreamEnd> {
    const { signal } = gone;
    try {
      for await (const chunk of answer.body ?? []) {
        if (raw.write(chunk)) continue;
        await once(raw, 'drain', { signal: AbortSignal.any([signal, AbortSignal.timeout(streams.stallMs)]) });
      }
      raw.end();
      return closing.aborted ? 'closing' : 'done';
    } catch {
      if (signal.aborted) return 'gone';
      gone.abort(STALLED);
      raw.destroy();
      return 'stalled';
    }
  }

  // Nothing is told outside of an answer, and there is no session to end.
  app.route({
    ...{ method: ['GET', 'DELETE'], url: PATH, schema: { hide: true }, config: { access: 'user' } },
    handler: (_request, reply) => {
      void reply.header('allow', 'POST');
      throw new InnkeeperError('METHOD_NOT_ALLOWED', 'Requests of MCP come by POST here.');
    },
  });
}

/** A name that we gave at `initialize` and do not remember: with a request's id it says which request this is. */
function sessionOf({ headers }: FastifyRequest): string | undefined {
  const given = headers[SESSION_HEADER];
  return typeof given === 'string' && given !== '' ? given : undefined;
}

/** Without the body, which is read by then. */
function toWebRequest({ url, method, headers: given }: FastifyRequest, signal: AbortSignal): Request {
  const headers = new Headers();
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined) headers.set(name, [value].flat().join(', '));
  }
  return new Request(new URL(url, 'http://gateway'), { method, headers, signal });
}

function begin(reply: FastifyReply, { status, headers }: Response): ServerResponse {
  reply.hijack();
  const { raw } = reply;
  // Kept for another request, it would hold up the end of the gateway for as long as its reader likes.
  const all = { ...reply.getHeaders(), ...Object.fromEntries(headers), connection: 'close' };
  for (const [name, value] of Object.entries(all)) if (value !== undefined) raw.setHeader(name, value);
  return raw.writeHead(status);
}
