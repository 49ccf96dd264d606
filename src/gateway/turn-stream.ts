/** A whole turn as a stream, from its beginning, by whatever projection; where the request asked for it, leaving cancels the turn. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { TurnRef } from '../client.js';
import { cancelOnDisconnect } from './cancel-on-disconnect.js';
import type { FollowFor } from './event-streams.js';
import type { RouteParts } from './parts.js';

/** @throws InnkeeperError STREAMS_EXCEEDED */
export async function streamTurn(
  { client, eventStreams }: Pick<RouteParts, 'client' | 'eventStreams'>,
  request: FastifyRequest,
  reply: FastifyReply,
  follow: TurnRef & Pick<FollowFor, 'projection' | 'withMachine'>,
): Promise<FastifyReply> {
  const end = await eventStreams.serve(request, reply, { ...follow, after: { beginningOf: follow.turnId } });
  if (end === 'gone') await cancelOnDisconnect(client, request, follow);
  return reply;
}
