/** A client that leaves cancels nothing, unless it asks for that. */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { InnkeeperClient, TurnRef } from '../client.js';

const HEADER = 'x-innkeeper-cancel-on-disconnect';

/** For the headers of a route. */
export const cancelOnDisconnectHeader = {
  [HEADER]: z
    .enum(['true', 'false'])
    .optional()
    .describe('true: the turn is cancelled where the client leaves before its end'),
};

/** Once the client has left. What goes wrong is logged: there is nobody to tell. */
export async function cancelWhereAsked(
  request: FastifyRequest,
  { userId, turnId }: TurnRef,
  client: InnkeeperClient,
): Promise<void> {
  if (request.headers[HEADER] !== 'true') return;
  try {
    await client.cancelTurn({ userId, turnId });
  } catch (error) {
    request.log.warn({ err: error }, 'a turn whose client left was not cancelled');
  }
}
