/** A disconnect is no cancel. A request may say that it is: for senders whose stop button only breaks the connection off. */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { InnkeeperClient, TurnRef } from '../client.js';

export const CANCEL_HEADER = 'x-innkeeper-cancel-on-disconnect';

export const cancelHeaders = z.object({
  [CANCEL_HEADER]: z
    .enum(['true', 'false'])
    .optional()
    .describe('`true`: the turn is cancelled where this request is broken off; by itself a disconnect cancels nothing'),
});

/** To be called once a request is broken off before its turn was over. Never rejects. */
export async function cancelOnDisconnect(
  client: Pick<InnkeeperClient, 'cancelTurn'>,
  request: FastifyRequest,
  turn: TurnRef,
): Promise<void> {
  if (request.headers[CANCEL_HEADER] !== 'true') return;
  try {
    await client.cancelTurn(turn);
  } catch (error) {
    // Nobody is there to be told: the turn goes on to its end.
    request.log.warn({ err: error }, 'a turn was not cancelled');
  }
}
