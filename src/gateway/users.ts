/** Users and their machines over HTTP. */
import { InnkeeperError } from '../contracts/errors.js';
import { parseUserId } from '../contracts/ids.js';
import { toCostLine } from '../store/cost.js';
import { usage } from '../store/usage.js';
import { listUsers, type UserView } from '../store/users.js';
import { describe, problems, toPage, userOf } from './routes.js';
import type { Gateway, GatewayParts } from './parts.js';
import { acceptedView, createdView, pageQuery, usageView, userBody, userParams, usersPage, userView } from './views.js';

const TAGS = ['users'] as const;

export function addUserRoutes(app: Gateway, { client, store, prices }: GatewayParts): void {
  app.get(
    '/v1/users',
    describe('operator', {
      ...{ summary: 'List the users, in order of their ids', tags: TAGS, querystring: pageQuery },
      response: { 200: usersPage, ...problems },
    }),
    async ({ query: { limit, cursor } }) => {
      const after = cursor === undefined ? {} : { after: parseUserId(cursor) };
      return toPage((await listUsers(store, { limit, ...after })).map(toView), limit, ({ userId }) => userId);
    },
  );

  app.get(
    '/v1/users/:user',
    describe('user', {
      ...{ summary: 'Read a user and their machine', tags: TAGS, params: userParams },
      response: { 200: userView, ...problems },
    }),
    async ({ params }) => toView(await client.getUser({ userId: userOf(params) })),
  );

  app.put(
    '/v1/users/:user',
    describe('user', {
      ...{ summary: 'Create a user without a message', tags: TAGS, params: userParams, body: userBody },
      response: { 200: createdView, 201: createdView, ...problems },
    }),
    async ({ params, body: { idleMs } }, reply) => {
      const { created } = await client.createUser({
        userId: userOf(params),
        ...(idleMs === undefined ? {} : { idleMs }),
      });
      return reply.status(created ? 201 : 200).send({ created });
    },
  );

  app.delete(
    '/v1/users/:user',
    describe('user', {
      ...{ summary: "Destroy a user's machine for good; open turns end", tags: TAGS, params: userParams },
      response: { 202: acceptedView, ...problems },
    }),
    async ({ params }, reply) => {
      await client.destroyUser({ userId: userOf(params) });
      return reply.status(202).send({ accepted: true });
    },
  );

  for (const [verb, summary, ask] of [
    ['sleep', 'Put the machine to sleep as soon as no turn is open', client.sleepNow],
    ['wake', 'Wake the machine, and restart its idle time', client.wakeNow],
  ] as const) {
    app.post(
      `/v1/users/:user/machine/${verb}`,
      describe('user', { summary, tags: TAGS, params: userParams, response: { 202: acceptedView, ...problems } }),
      async ({ params }, reply) => {
        await ask({ userId: userOf(params) });
        return reply.status(202).send({ accepted: true });
      },
    );
  }

  app.get(
    '/v1/users/:user/usage',
    describe('user', {
      ...{ summary: 'What the machine has used, and what that costs', tags: TAGS, params: userParams },
      response: { 200: usageView, ...problems },
    }),
    async ({ params }) => {
      const at = new Date();
      const userId = userOf(params);
      const [used] = await usage(store, { userId, at });
      if (used === undefined) throw new InnkeeperError('USER_UNKNOWN', 'There is no such user.');
      const { awakeSeconds, vcpuHours, gibMonths, cost } = toCostLine(used, prices);
      return { at: at.toISOString(), awakeSeconds, vcpuHours, gibMonths, cost };
    },
  );
}

/** Without the lane's workflow id, which is the operator's business. */
function toView({ workflowId: _workflowId, machine, ...user }: UserView) {
  return { ...user, machine: { ...machine, missing: [...machine.missing] } };
}
