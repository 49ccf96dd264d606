/** A span for each request that asks for somebody, in the trace of whoever sent it: what the handler does is within it. */
import { context, propagation, ROOT_CONTEXT, SpanStatusCode, trace, type Context } from '@opentelemetry/api';
import type { FastifyRequest } from 'fastify';
import { startSpan } from '../telemetry/spans.js';
import type { Gateway } from './parts.js';

export function addRequestSpans(app: Gateway): void {
  const contexts = new WeakMap<FastifyRequest, Context>();

  app.addHook('onRequest', (request, reply, done) => {
    const { access } = request.routeOptions.config;
    const route = request.routeOptions.url;
    // Probes and documents are no part of anybody's turn.
    if (access === undefined || route === undefined) return done();
    const { method } = request;
    const parent = propagation.extract(ROOT_CONTEXT, request.headers);
    const attributes = { 'http.request.method': method, 'http.route': route };
    const span = startSpan(`${method} ${route}`, { kind: 'SERVER', attributes, parent });
    contexts.set(request, trace.setSpan(parent, span));
    // Also where the sender is gone before the answer.
    reply.raw.once('close', () => {
      const { statusCode, headersSent } = reply.raw;
      if (headersSent) span.setAttribute('http.response.status_code', statusCode);
      if (headersSent && statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    });
    return done();
  });

  // The body is read by then, whose events come from outside of any context.
  app.addHook('preHandler', (request, _reply, done) => {
    const own = contexts.get(request);
    if (own === undefined) return done();
    return context.with(own, () => done());
  });
}
