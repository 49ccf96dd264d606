/** Users and their machines over HTTP. */
import { InnkeeperError } from '../contracts/errors.js';
import { parseUserId } from '../contracts/ids.js';
import { toCostLine, type CostLine } from '../store/cost.js';
import { usage } from '../store/usage.js';
import { listUsers, type UserView } from '../store/users.js';
import { describe, problems, toPage, userOf } from './routes.js';
import type { Gateway, GatewayParts } from './parts.js';
import {
  acceptedView,
  createdView,
  pageQuery,
  usageView,
  userBody,
  userParams,
  usersPage,
  userDetails,
} from './views.js';

const TAGS = ['users'] as const;

export function addUserRoutes(app: Gateway, { client, store, prices, defaults, laneUrlOf }: GatewayParts): void {
  async function costOf(userId: string, at: Date): Promise<CostLine> {
    const [used] = await usage(store, { userId, at });
    if (used === undefined) throw new InnkeeperError('USER_UNKNOWN', 'There is no such user.');
    return toCostLine(used, prices);
  }

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
      response: { 200: userDetails, ...problems },
    }),
    async ({ params, principal }) => {
      const at = new Date();
      const user = await client.getUser({ userId: userOf(params) });
      const { awakeSeconds, cost } = await costOf(user.userId, at);
      const isOperator = principal?.kind === 'key' && principal.scope === 'operator';
      const view = toView(user);
      return {
        ...view,
        machine: { ...view.machine, ...toRest(user, defaults.idleMs) },
        awakeSeconds,
        cost,
        laneUrl: isOperator ? laneUrlOf(user.workflowId) : null,
      };
    },
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
      const { awakeSeconds, vcpuHours, gibMonths, cost } = await costOf(userOf(params), at);
      return { at: at.toISOString(), awakeSeconds, vcpuHours, gibMonths, cost };
    },
  );
}

/** Without the lane's workflow id, which is the operator's business. */
function toView({ workflowId: _workflowId, machine, ...user }: UserView) {
  return { ...user, machine: { ...machine, missing: [...machine.missing] } };
}

const AWAKE = new Set<UserView['machine']['phase']>(['provisioning', 'bootstrapping', 'waking', 'ready']);

/** Why the machine is awake and for how long, from the record: nobody asks the lane or the machine for it. */
function toRest({ machine, queueLength, idleMs, lastTurnAt }: UserView, idleMsDefault: number) {
  if (!AWAKE.has(machine.phase)) return { awakeFor: null, sleepsAt: null };
  if (queueLength > 0) return { awakeFor: 'turn' as const, sleepsAt: null };
  if (machine.leasedUntil !== null) return { awakeFor: 'lease' as const, sleepsAt: null };
  const quietSince = [machine.wokenAt, lastTurnAt]
    .filter((at) => at !== null)
    .sort()
    .at(-1);
  const sleepsAtMs = quietSince === undefined ? undefined : Date.parse(quietSince) + (idleMs ?? idleMsDefault);
  return {
    awakeFor: 'idle_time' as const,
    sleepsAt: sleepsAtMs === undefined ? null : new Date(sleepsAtMs).toISOString(),
  };
}
