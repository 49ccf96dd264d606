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
import { addAgUiRoutes } from './ag-ui.js';
import { addAiSdkRoutes } from './ai-sdk.js';
import { authenticate, authorize, userNamed, type Access, type Principal } from './auth.js';
import { createEventStreams } from './event-streams.js';
import { addEventRoutes } from './events.js';
import { addFileRoutes } from './files.js';
import { createMachineLeases } from './machine-leases.js';
import { addMcpRoutes } from './mcp.js';
import { addOpenAiRoutes } from './openai.js';
import { addOrigins } from './origins.js';
import { addPage } from './page.js';
import type { Gateway, GatewayParts, RouteParts } from './parts.js';
import { answerProblem, answerUnreadable } from './problem.js';
import { createRates, type Rates } from './rates.js';
import { addRequestSpans } from './request-spans.js';
import { addTerminalRoutes } from './terminal.js';
import { createTerminalSessions } from './terminal-sessions.js';
import { addTranscriptRoutes } from './transcript.js';
import { addTurnRoutes } from './turns.js';
import { addUpgrades } from './upgrades.js';
import { addUserRoutes } from './users.js';

declare module 'fastify' {
  interface FastifyRequest {
    principal?: Principal;
    /** The user whom it is about, where the path names none. */
    namedUser?: string;
  }
  interface FastifyContextConfig {
    /** Absent: the route asks for nobody. */
    access?: Access;
    isWebSocket?: true;
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
    // What comes before a route is found: a path that cannot be decoded, or with a part that is too long.
    frameworkErrors: (error, request, reply) => void answerProblem(error, request, reply),
    clientErrorHandler: answerUnreadable,
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
  await app.register(helmet, {
    global: true,
    // Over plain HTTP on a laptop too: TLS and its headers are of whoever stands in front.
    contentSecurityPolicy: { directives: { upgradeInsecureRequests: null } },
    strictTransportSecurity: false,
  });
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
  const closing = new AbortController();
  setMaxListeners(0, closing.signal); // One for each request that is held.
  // Before anything else that ends: what is being waited for is given up.
  app.addHook('preClose', async () => {
    closing.abort(new Error('the gateway is ending'));
    closeConnectionsAfter(parts.closeMs, app);
  });
  const leases = createMachineLeases({ ...parts, machines: parts.machines });
  const terminals = createTerminalSessions({ ...parts, leases, bounds: parts.terminals, closing: closing.signal });
  await addUpgrades(app, () => terminals.close());
  addRequestSpans(app);
  await addOrigins(app, parts.origins);
  const rates = await createRates(app, parts);
  app.addHook('onRequest', admit(parts, rates));
  app.addHook('onResponse', async (request, reply) => {
    const { method, routeOptions } = request;
    const fields = { method, route: routeOptions.url, status: reply.statusCode, ms: Math.round(reply.elapsedTime) };
    request.log.info(fields, 'request');
    parts.metrics?.requestEnded(request, reply);
  });
  addPage(app, parts.pageFolder);
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
  app.get('/healthz', { schema: { hide: true } }, () => ({ status: 'ok' }));
  app.get('/readyz', { schema: { hide: true } }, async (_request, reply) => {
    const ready = await parts.readiness();
    const isReady = Object.values(ready).every(Boolean);
    return reply.status(isReady ? 200 : 503).send({ status: isReady ? 'ready' : 'not ready', parts: ready });
  });
  // A connection that stays open after its answer would be waited for.
  app.addHook('onSend', async (_request, reply) => {
    if (closing.signal.aborted) void reply.header('connection', 'close');
  });
  const eventStreams = createEventStreams({ ...parts, closing: closing.signal, bounds: parts.streams });
  const routeParts = { ...parts, closing: closing.signal, eventStreams, leases, nameUser: nameUserBy(rates) };
  addTurnRoutes(app, routeParts);
  addUserRoutes(app, parts);
  addTranscriptRoutes(app, parts);
  addEventRoutes(app, routeParts);
  addOpenAiRoutes(app, routeParts);
  addAiSdkRoutes(app, routeParts);
  addAgUiRoutes(app, routeParts);
  addMcpRoutes(app, routeParts);
  await addFileRoutes(app, routeParts);
  addTerminalRoutes(app, terminals);
  return app;
}

/**
 * For whoever does not take an answer, and for connections that clients open in advance: Node counts one on which nothing was asked yet as
 * busy, and waits for it.
 */
function closeConnectionsAfter(ms: number, { server }: Gateway): void {
  const timer = setTimeout(() => server.closeAllConnections(), ms);
  server.once('close', () => clearTimeout(timer));
}

/** Before the body is read. */
function admit(parts: GatewayParts, rates: Rates): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    const { access } = request.routeOptions.config;
    if (access === undefined) return;
    request.principal = await authenticate(request, parts);
    authorize(request.principal, access, (request.params as { user?: string }).user);
    await rates.countRequest(request);
  };
}

/** Once it is read. */
function nameUserBy(rates: Rates): RouteParts['nameUser'] {
  return async (request, names) => {
    if (request.principal === undefined) throw new Error('a route that names its user has no access');
    request.namedUser = userNamed(request.principal, names);
    await rates.countNamedUser(request);
    return request.namedUser;
  };
}
