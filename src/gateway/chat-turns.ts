/** Messages that come over a chat protocol without an id of their own: admitted as turns, and held to their end. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { TurnRef, TurnView } from '../client.js';
import { InnkeeperError } from '../contracts/errors.js';
import { FEED_PAGE_EVENTS } from '../contracts/limits.js';
import { readEvents } from '../store/events.js';
import type { Queryable } from '../store/sql.js';
import { cancelOnDisconnect } from './cancel-on-disconnect.js';
import type { RouteParts } from './parts.js';
import { turnIdOf } from './request-turns.js';
import { createTurnText, type CommandsShown, type TurnText } from './turn-text.js';

export interface ChatTurns {
  /** Submits the message, or finds the turn that the same request made. @throws InnkeeperError as `submitTurn` */
  submit(request: FastifyRequest, said: { readonly userId: string; readonly prompt: string }): Promise<TurnView>;
  /** Waits for the turn's end, whatever that is; undefined: the client left. @throws InnkeeperError RESULT_TIMEOUT */
  result(request: FastifyRequest, reply: FastifyReply, turn: TurnRef): Promise<TurnView | undefined>;
}

export function createChatTurns(parts: Pick<RouteParts, 'client' | 'store' | 'closing' | 'holds'>): ChatTurns {
  const { client, store, closing, holds } = parts;
  return {
    async submit(request, { userId, prompt }) {
      const { 'idempotency-key': key, 'x-stainless-retry-count': retries } = request.headers;
      const { body, routeOptions } = request;
      const asked = { userId, route: routeOptions.url ?? '', body, isRetry: Number(retries) > 0 };
      const turnId = typeof key === 'string' ? key : await turnIdOf(store, asked);
      await client.submitTurn({ userId, turnId, prompt });
      return client.getTurn({ userId, turnId });
    },

    async result(request, reply, { userId, turnId }) {
      const left = new AbortController();
      const leave = (): void => left.abort(new Error('the client left'));
      reply.raw.once('close', leave);
      // While its turn was being submitted.
      if (reply.raw.destroyed) leave();
      const signal = AbortSignal.any([left.signal, closing]);
      try {
        return await client.turnResult({ userId, turnId, timeoutMs: holds.answerMs, signal });
      } catch (error) {
        if (left.signal.aborted) {
          await cancelOnDisconnect(client, request, { userId, turnId });
          reply.hijack();
          return undefined;
        }
        if (!closing.aborted && !(InnkeeperError.is(error) && error.code === 'RESULT_TIMEOUT')) throw error;
        const message =
          'The turn goes on: send the same request again, with the same idempotency-key if it had one, to join it.';
        throw new InnkeeperError('RESULT_TIMEOUT', message, { cause: error });
      } finally {
        reply.raw.off('close', leave);
      }
    },
  };
}

/** The turn as far as the log has it. */
export async function readTurnText(
  store: Queryable,
  { userId, turnId }: TurnRef,
  shown: CommandsShown,
): Promise<TurnText> {
  const text = createTurnText(shown);
  let seq = 0;
  for (;;) {
    const events = await readEvents(store, { userId, turnId, after: seq, limit: FEED_PAGE_EVENTS });
    for (const event of events) text.push({ position: { seq: event.seq, try: 0, n: 0 }, event });
    seq = events.at(-1)?.seq ?? seq;
    if (events.length < FEED_PAGE_EVENTS) return text;
  }
}
