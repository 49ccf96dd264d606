/** Turns over HTTP: submit, read, list, cancel, and the queue. */
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import type { TurnView } from '../client.js';
import { InnkeeperError } from '../contracts/errors.js';
import { parseTurnId } from '../contracts/ids.js';
import { removeWaiting } from '../store/admission.js';
import { listOpenTurns, listTurns, type TurnView as StoredTurn } from '../store/turns.js';
import { describe, problems, toPage, toPosition, userOf } from './routes.js';
import type { Gateway, RouteParts } from './parts.js';
import {
  cancelledView,
  pageQuery,
  submitBody,
  submitHeaders,
  submitQuery,
  submittedView,
  turnParams,
  turnsPage,
  turnView,
  userParams,
} from './views.js';

const TAGS = ['turns'] as const;

export function addTurnRoutes(app: Gateway, { client, store, closing }: RouteParts): void {
  app.post(
    '/v1/users/:user/turns',
    describe('user', {
      ...{
        summary: 'Submit a message',
        tags: TAGS,
        params: userParams,
        body: submitBody,
        querystring: submitQuery,
        headers: submitHeaders,
      },
      response: { 200: submittedView.describe('The turn was over within `wait`'), 202: submittedView, ...problems },
    }),
    async (request, reply) => {
      const userId = userOf(request.params);
      const turnId = turnIdOf(request.body.turnId, request.headers['idempotency-key']);
      const { prompt } = request.body;
      const submitted = await client.submitTurn({ userId, turnId, prompt });
      const turn = await resultWithin(request.query.wait, { userId, turnId });
      const links = linksOf(userId, turnId);
      return reply
        .status(turn === undefined ? 202 : 200)
        .header('location', links.turn)
        .send({ ...submitted, ...(turn === undefined ? {} : { state: turn.state, turn: toView(turn) }), links });
    },
  );

  async function resultWithin(
    seconds: number,
    turn: { userId: string; turnId: string },
  ): Promise<TurnView | undefined> {
    if (seconds === 0) return undefined;
    try {
      return await client.turnResult({ ...turn, timeoutMs: seconds * 1_000, signal: closing });
    } catch (error) {
      if (closing.aborted || (InnkeeperError.is(error) && error.code === 'RESULT_TIMEOUT')) return undefined;
      throw error;
    }
  }

  app.get(
    '/v1/users/:user/turns/:turn',
    describe('user', {
      ...{ summary: 'Read a turn', tags: TAGS, params: turnParams },
      response: { 200: turnView, ...problems },
    }),
    async ({ params }) => toView(await client.getTurn({ userId: userOf(params), turnId: parseTurnId(params.turn) })),
  );

  app.get(
    '/v1/users/:user/turns',
    describe('user', {
      ...{ summary: "List a user's turns, the latest first", tags: TAGS, params: userParams, querystring: pageQuery },
      response: { 200: turnsPage, ...problems },
    }),
    async ({ params, query: { limit, cursor } }) => {
      const before = cursor === undefined ? {} : { before: toPosition(cursor) };
      const turns = await listTurns(store, { userId: userOf(params), limit, ...before });
      return toPage(turns.map(toView), limit, ({ position }) => String(position));
    },
  );

  app.post(
    '/v1/users/:user/turns/:turn/cancel',
    describe('user', {
      ...{ summary: 'Cancel a turn, waiting or running', tags: TAGS, params: turnParams },
      response: { 202: cancelledView, ...problems },
    }),
    async ({ params }, reply) => {
      const { state } = await client.cancelTurn({ userId: userOf(params), turnId: parseTurnId(params.turn) });
      return reply.status(202).send({ state });
    },
  );

  app.get(
    '/v1/users/:user/queue',
    describe('user', {
      ...{ summary: 'The open turns in their order, the running one first', tags: TAGS, params: userParams },
      response: { 200: turnsPage, ...problems },
    }),
    async ({ params }) => {
      const turns = await listOpenTurns(store, { userId: userOf(params) });
      return { items: turns.map(toView), next: null };
    },
  );

  app.delete(
    '/v1/users/:user/queue/:turn',
    describe('user', {
      ...{ summary: 'Remove a waiting turn from the queue', tags: TAGS, params: turnParams },
      response: { 204: z.null().describe('It will not run'), ...problems },
    }),
    async ({ params }, reply) => {
      await removeWaiting(store, { userId: userOf(params), turnId: parseTurnId(params.turn) });
      return reply.status(204).send(null);
    },
  );
}

/** The id that the sender chose, in the body or in the header; a new one where there is none. @throws InnkeeperError INVALID_INPUT */
function turnIdOf(inBody: string | undefined, inHeader: string | undefined): string {
  if (inBody !== undefined && inHeader !== undefined && inBody !== inHeader) {
    throw new InnkeeperError('INVALID_INPUT', 'turnId and the header idempotency-key name two ids: send one.');
  }
  return inBody ?? inHeader ?? uuidv7();
}

function linksOf(userId: string, turnId: string): { turn: string; events: string; cancel: string } {
  const user = `/v1/users/${encodeURIComponent(userId)}`;
  const turn = `${user}/turns/${encodeURIComponent(turnId)}`;
  return { turn, events: `${user}/events?turn=${encodeURIComponent(turnId)}`, cancel: `${turn}/cancel` };
}

/** Without the row's own key. */
function toView({ turnKey: _key, ...turn }: StoredTurn): Omit<StoredTurn, 'turnKey'> {
  return turn;
}
