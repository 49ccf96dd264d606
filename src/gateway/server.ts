/** The HTTP gateway as one Fastify server: plugins, authentication, errors and routes. Every verb is the client library's. */
import { setMaxListeners } from 'node:events';
import helmet from '@fastify/helmet';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import Fastify, { LogController, type FastifyRequest } from 'fastify';
import {
  jsonSchemaTransform,
  jsonSchemaTransformObject,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod';
import { v7 as uuidv7 } from 'uuid';
import { InnkeeperError } from '../contracts/errors.js';
import { REQUEST_BODY_BYTES_MAX } from '../contracts/limits.js';
import { authenticate, authorize, type Access, type Principal } from './auth.js';
import { addEventRoutes } from './events.js';
import type { Gateway, GatewayParts } from './parts.js';
import { answerProblem } from './problem.js';
import { addRequestSpans } from './request-spans.js';
import { addTurnRoutes } from './turns.js';
import { addUserRoutes } from './users.js';

declare module 'fastify' {
  interface FastifyRequest {
    principal?: Principal;
  }
  interface FastifyContextConfig {
    /** Absent: the route asks for nobody. */
    access?: Access;
  }
}

const REQUEST_ID = /^[\w.:-]{1,64}$/;
/** An id in a path may be its longest, every byte escaped. */
const PARAMETER_CHARACTERS_MAX = 512;

export async function createGateway(parts: GatewayParts): Promise<Gateway> {
  const app = Fastify({
    loggerInstance: parts.log,
    bodyLimit: REQUEST_BODY_BYTES_MAX,
    routerOptions: { maxParamLength: PARAMETER_CHARACTERS_MAX },
    // Given by a proxy, so that its log and ours can be joined.
    genReqId: ({ headers }) => {
      const given = headers['x-request-id'];
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : uuidv7();
    },
    logController: new LogController({ disableRequestLogging: true }),
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.removeContentTypeParser('text/plain');
  app.setErrorHandler(answerProblem);
  app.setNotFoundHandler((request, reply) => {
    const error = new InnkeeperError(
      'ROUTE_UNKNOWN',
      `There is no ${request.method} ${request.url.split('?')[0] ?? ''}.`,
    );
    return answerProblem(error, request, reply);
  });
  await app.register(helmet, { global: true });
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Innkeeper',
        version: '1',
        description: 'One durable Linux machine for every user of a chat product.',
      },
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', description: 'An API key, or a token of a user' },
        },
      },
    },
    transform: jsonSchemaTransform,
    transformObject: jsonSchemaTransformObject,
  });
  await app.register(swaggerUi, { routePrefix: '/docs' });
  addRequestSpans(app);
  app.addHook('onRequest', admit(parts));
  app.addHook('onResponse', async (request, reply) => {
    const { method, routeOptions } = request;
    const fields = { method, route: routeOptions.url, status: reply.statusCode, ms: Math.round(reply.elapsedTime) };
    request.log.info(fields, 'request');
    parts.metrics?.requestEnded(request, reply);
  });
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
  app.get('/healthz', { schema: { hide: true } }, () => ({ status: 'ok' }));
  app.get('/readyz', { schema: { hide: true } }, async (_request, reply) => {
    const missing = await parts.notReady();
    return reply
      .status(missing.length === 0 ? 200 : 503)
      .send({ status: missing.length === 0 ? 'ready' : 'not ready', missing });
  });
  const closing = new AbortController();
  setMaxListeners(0, closing.signal); // One for each request that is held.
  app.addHook('preClose', async () => closing.abort(new Error('the gateway is ending')));
  const routeParts = { ...parts, closing: closing.signal };
  addTurnRoutes(app, routeParts);
  addUserRoutes(app, parts);
  addEventRoutes(app, routeParts);
  return app;
}

/** Before the body is read. */
function admit(parts: GatewayParts): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    const { access } = request.routeOptions.config;
    if (access === undefined) return;
    request.principal = await authenticate(request, parts);
    authorize(request.principal, access, (request.params as { user?: string }).user);
  };
}
