/**
 * Starts the tracer of a process, for as long as it runs: spans are collected and sent in batches by OTLP. A collector that is away
 * costs its spans and nothing else: it is told once, and again when it is back.
 */
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

export interface TracingSettings {
  /** Without `/v1/traces`. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Tracing {
  /** Sends what is left, and ends. Never rejects; takes SPANS_EXPORT_MS_MAX at most. */
  close(): Promise<void>;
}

/** @param settings undefined: no traces are made. */
export function startTracing(
  settings: TracingSettings | undefined,
  { service, log }: { readonly service: string; readonly log: Logger },
): Tracing {
  if (settings === undefined) return { close: () => Promise.resolve() };
  const { endpoint, headers } = settings;
  const exporter = new OTLPTraceExporter({
    url: `${endpoint.replace(/\/+$/, '')}/v1/traces`,
    headers: { ...headers },
    timeoutMillis: SEND_MS_MAX,
  });
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
  return {
    async close() {
      // A collector that is away was told of; its spans are lost with the process.
      await provider.shutdown().catch(() => undefined);
      for (const api of [trace, context, propagation]) api.disable();
    },
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
