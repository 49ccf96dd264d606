/** The tracer itself: OpenTelemetry's SDK, loaded by tracing.ts alone, and only where traces are wanted. */
import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { ExportResultCode, W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider, type SpanExporter } from '@opentelemetry/sdk-trace';
import { ID_BYTES_MAX, SPANS_EXPORT_MS_MAX, SPANS_QUEUED_MAX } from '../contracts/limits.js';
import type { Logger } from '../log.js';

/** Below the bound of an export, so that what went wrong is known within it. */
const SEND_MS_MAX = SPANS_EXPORT_MS_MAX - 500;

export interface TracerOptions {
  /** With `/v1/traces`. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly service: string;
  readonly log: Logger;
}

/** Makes it the tracer of this process; answers its end. */
export function startTracer({ url, headers, service, log }: TracerOptions): () => Promise<void> {
  const exporter = new OTLPTraceExporter({ url, headers: { ...headers }, timeoutMillis: SEND_MS_MAX });
  const provider = new TracerProvider({
    spanLimits: { attributeValueLengthLimit: ID_BYTES_MAX },
    resource: resourceFromAttributes({ 'service.name': service }),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: telling(exporter, log),
        maxQueueSize: SPANS_QUEUED_MAX,
        exportTimeoutMillis: SPANS_EXPORT_MS_MAX,
      }),
    ],
  });
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  return async () => {
    // A collector that is away was told of; its spans are lost with the process.
    await provider.shutdown().catch(() => undefined);
    for (const api of [trace, context, propagation]) api.disable();
  };
}

/** The exporter, whose failures are logged when they begin and when they are over. */
function telling(exporter: SpanExporter, log: Logger): SpanExporter {
  let isAway = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const failed = result.code === ExportResultCode.FAILED;
        if (failed && !isAway) log.warn({ reason: result.error?.message }, 'traces cannot be sent: spans are dropped');
        if (!failed && isAway) log.info('traces are sent again');
        isAway = failed;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
  };
}
