/** A user's events and live text as a stream, in our own words: whoever comes back with the last id misses nothing. */
import { z } from 'zod';
import type { FeedItem, FollowFrom } from '../client.js';
import { InnkeeperError } from '../contracts/errors.js';
import { formatPosition, parsePosition } from '../contracts/events.js';
import { parseTurnId } from '../contracts/ids.js';
import { lastEventOfTurn } from '../store/events.js';
import { getUser } from '../store/users.js';
import type { Projection } from './event-streams.js';
import { describe, problems, userOf } from './routes.js';
import type { Gateway, RouteParts } from './parts.js';
import { eventsHeaders, eventsQuery, userParams } from './views.js';

const projection: Projection = {
  textOf,
  resync: `event: resync\ndata: ${JSON.stringify({ type: 'resync' })}\n\n`,
};

export function addEventRoutes(app: Gateway, { store, eventStreams }: RouteParts): void {
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
      if (end?.isOver === true && typeof after === 'object' && 'seq' in after && after.seq >= end.seq)
        eventStreams.serveEnd(reply);
      else
        await eventStreams.serve(request, reply, {
          userId,
          ...(turnId === undefined ? {} : { turnId }),
          ...{ after, projection },
        });
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

function textOf(item: FeedItem): string {
  const { body, ...about } = 'event' in item ? item.event : item.delta;
  const data = JSON.stringify({ ...about, ...body });
  return `id: ${formatPosition(item.position)}\nevent: ${body.type}\ndata: ${data}\n\n`;
}
