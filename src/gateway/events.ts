/** A user's events and live text as a stream (SSE). A disconnect is never a cancel; whoever comes back with the last id misses nothing. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { z } from 'zod';
import type { FeedItem, FollowFrom, InnkeeperClient } from '../client.js';
import { InnkeeperError } from '../contracts/errors.js';
import { formatPosition, parsePosition } from '../contracts/events.js';
import { parseTurnId } from '../contracts/ids.js';
import { lastEventOfTurn } from '../store/events.js';
import { getUser } from '../store/users.js';
import { describe, problems, userOf } from './routes.js';
import type { StreamEnd } from './metrics.js';
import type { Gateway, RouteParts, StreamBounds } from './parts.js';
import { eventsHeaders, eventsQuery, userParams } from './views.js';

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // For proxies that would collect it first.
  'x-accel-buffering': 'no',
  // Kept for another request, it would hold up the end of the gateway for as long as its reader likes.
  connection: 'close',
};

export function addEventRoutes(app: Gateway, { client, store, closing, metrics, streams: bounds }: RouteParts): void {
  const streams = createStreamCount(bounds);

  app.get(
    '/v1/users/:user/events',
    describe('user', {
      ...{
        summary: 'Follow what happens, live',
        tags: ['events'],
        params: userParams,
        querystring: eventsQuery,
        headers: eventsHeaders,
      },
      response: {
        200: { description: 'Events, each with its id', content: { 'text/event-stream': { schema: z.string() } } },
        ...problems,
      },
    }),
    async (request, reply) => {
      const userId = userOf(request.params);
      const turnId = request.query.turn === undefined ? undefined : parseTurnId(request.query.turn);
      const after = toFrom(request.headers['last-event-id'] ?? request.query.after, turnId);
      // Asked here, while an error is still an answer.
      if (turnId === undefined) await getUser(store, userId);
      const end = turnId === undefined ? undefined : await lastEventOfTurn(store, { userId, turnId });
      const release = streams.open(userId);
      const noteEnd = metrics?.streamOpened(request);
      let reason: StreamEnd = 'done';
      try {
        reply.hijack();
        const { raw } = reply;
        raw.writeHead(200, { ...toHeaders(reply.getHeaders()), ...HEADERS });
        if (end?.isOver === true && typeof after === 'object' && 'seq' in after && after.seq >= end.seq) raw.end();
        else
          reason = await stream(raw, client, {
            userId,
            ...(turnId === undefined ? {} : { turnId }),
            ...{ after, closing, bounds },
          });
      } finally {
        release();
        noteEnd?.(reason);
      }
      return reply;
    },
  );
}

/** Where to begin: what the reader has, or the turn's or the user's beginning. @throws InnkeeperError INVALID_INPUT */
function toFrom(id: string | undefined, turnId: string | undefined): FollowFrom {
  if (id === 'end') return 'end';
  if (id === undefined || id === '') return turnId === undefined ? { seq: 0, try: 0, n: 0 } : { beginningOf: turnId };
  const position = parsePosition(id);
  if (position === undefined) throw new InnkeeperError('INVALID_INPUT', 'The id is none of an event of this stream.');
  return position;
}

function toHeaders(
  headers: Record<string, number | string | string[] | undefined>,
): Record<string, number | string | string[]> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])),
  );
}

interface FollowFor {
  readonly userId: string;
  readonly turnId?: string;
  readonly after: FollowFrom;
  readonly closing: AbortSignal;
  readonly bounds: StreamBounds;
}

/** Answers why it ended. */
async function stream(
  raw: ServerResponse,
  client: InnkeeperClient,
  { closing, bounds, ...follow }: FollowFor,
): Promise<StreamEnd> {
  const gone = new AbortController();
  raw.once('close', () => gone.abort(new Error('the reader is gone')));
  const signal = AbortSignal.any([gone.signal, closing]);
  const heartbeat = setInterval(() => raw.writableNeedDrain || raw.write(':\n\n'), bounds.heartbeatMs);
  try {
    raw.write(':\n\n');
    for await (const item of client.followEvents({ ...follow, signal })) {
      // Pulled one by one: nothing is collected for a reader that is slow.
      if (!raw.write(toText(item)))
        await once(raw, 'drain', { signal: AbortSignal.any([signal, AbortSignal.timeout(bounds.stallMs)]) });
      if (follow.turnId !== undefined && 'event' in item && item.event.body.type === 'turn.ended') break;
    }
    raw.end();
    return 'done';
  } catch (error) {
    if (signal.aborted) {
      raw.end();
      return closing.aborted ? 'closing' : 'gone';
    }
    if (InnkeeperError.is(error) && error.code === 'INVALID_INPUT') {
      raw.end(`event: resync\ndata: ${JSON.stringify({ type: 'resync' })}\n\n`);
      return 'resync';
    }
    // A reader that stalls, or a Postgres that is away as it begins: it comes back with its last id.
    raw.destroy();
    return isTimeout(error) ? 'stalled' : 'failed';
  } finally {
    clearInterval(heartbeat);
  }
}

/** Of a wait that was given up for its time: the reason stands behind the error. */
function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.cause instanceof Error && error.cause.name === 'TimeoutError';
}

function toText(item: FeedItem): string {
  const { body, ...about } = 'event' in item ? item.event : item.delta;
  const data = JSON.stringify({ ...about, ...body });
  return `id: ${formatPosition(item.position)}\nevent: ${body.type}\ndata: ${data}\n\n`;
}

/** @throws InnkeeperError STREAMS_EXCEEDED */
function createStreamCount({ max, ofUserMax }: StreamBounds): { open(userId: string): () => void } {
  const ofUsers = new Map<string, number>();
  let all = 0;
  return {
    open(userId) {
      const own = ofUsers.get(userId) ?? 0;
      if (own >= ofUserMax || all >= max) {
        throw new InnkeeperError('STREAMS_EXCEEDED', 'There are too many open event streams.');
      }
      ofUsers.set(userId, own + 1);
      all += 1;
      return () => {
        all -= 1;
        const left = (ofUsers.get(userId) ?? 1) - 1;
        if (left === 0) ofUsers.delete(userId);
        else ofUsers.set(userId, left);
      };
    },
  };
}
