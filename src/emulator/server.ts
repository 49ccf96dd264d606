/** The HTTP server: authentication, bodies, errors and the ledger around the routes of the chosen profile. */
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { REQUEST_BODY_BYTES_MAX } from './constants.js';
import type { EmulatorContext } from './context.js';
import { registerModelRoutes } from './model/index.js';
import { registerAdminRoutes } from './routes/admin.js';
import { checkAuth } from './routes/auth.js';
import { noteCall } from './routes/define.js';
import { registerExecutionRoutes } from './routes/executions.js';
import { registerMachineRoutes } from './routes/machines.js';
import { registerAutoresizingRoutes, registerLogRoutes, registerNetworkRoutes } from './routes/newest.js';
import { registerResourceRoutes } from './routes/resources.js';
import { registerStatusStream } from './routes/status-stream.js';
import { registerTerminalRoutes } from './routes/terminals.js';
import { registerUsageRoutes } from './routes/usage.js';
import { notFound, problem, WireError } from './wire/errors.js';

export function buildServer(context: EmulatorContext, modelScriptFile: string | undefined): FastifyInstance {
  const app = fastify({
    bodyLimit: REQUEST_BODY_BYTES_MAX,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 300 },
  });
  const script = modelScriptFile === undefined ? {} : { scriptFile: modelScriptFile };
  void app.register(async (model) => registerModelRoutes(model, { apiKey: context.apiKey, ...script }));
  void app.register(async (api) => {
    guard(api, context);
    api.addHook('onSend', async (request, reply, payload) => {
      noteCall(context, request, reply.statusCode);
      return payload;
    });
    void api.register(async (v1) => registerApi(v1, context), { prefix: '/v1' });
  });
  void app.register(
    async (admin) => {
      guard(admin, context);
      registerAdminRoutes(admin, context);
    },
    { prefix: '/_emulator' },
  );
  return app;
}

function registerApi(app: FastifyInstance, context: EmulatorContext): void {
  app.setNotFoundHandler(async (request) => {
    throw checkAuth(request.headers, context.apiKey) ?? notFound(`route ${request.method} ${request.url}`);
  });
  registerMachineRoutes(app, context);
  registerExecutionRoutes(app, context);
  registerResourceRoutes(app, context);
  if (context.rules.usage !== 'none') registerUsageRoutes(app, context);
  if (context.rules.hasNetwork) registerNetworkRoutes(app, context);
  if (context.rules.hasReboot) registerAutoresizingRoutes(app, context);
  if (context.rules.hasExecutionLogs) registerLogRoutes(app, context);
  if (context.rules.hasStatusStream) registerStatusStream(app, context);
  if (context.rules.hasTerminals) registerTerminalRoutes(app, context);
}

function guard(app: FastifyInstance, context: EmulatorContext): void {
  app.addHook('onRequest', async (request) => {
    const refusal = checkAuth(request.headers, context.apiKey);
    if (refusal) throw refusal;
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, text, done) => {
    // The vendor's clients send a JSON content type with no body on sleep and wake.
    if (text === '') return done(null, undefined);
    try {
      done(null, JSON.parse(String(text)));
    } catch {
      done(problem(400, 'request body is not valid JSON'));
    }
  });
  app.setErrorHandler((error: FastifyError | WireError, request, reply) => writeError(context, error, request, reply));
}

function writeError(
  context: EmulatorContext,
  error: FastifyError | WireError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  // Bytes, so that no charset is added to the media type.
  const wire = error instanceof WireError ? error : toWireError(context, error, request);
  request.trace = { route: 'unknown', ...request.trace, errorCode: wire.code };
  return reply
    .code(wire.status)
    .headers(wire.headers)
    .type(wire.contentType)
    .send(Buffer.from(JSON.stringify(wire.body)));
}

function toWireError(context: EmulatorContext, error: FastifyError, request: FastifyRequest): WireError {
  const status = error.statusCode ?? 500;
  if (status < 500) return problem(status, error.message);
  context.log.error({ err: error, url: request.url }, 'emulator bug');
  return problem(500, 'unexpected error in the emulator');
}
