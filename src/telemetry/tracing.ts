/**
 * Traces of a process, for as long as it runs: spans are collected and sent in batches by OTLP. A collector that is away costs its spans and
 * nothing else: it is told once, and again when it is back.
 */
import type { Logger } from '../log.js';

export interface TracingSettings {
  /** Without `/v1/traces`. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Tracing {
  /** Sends what is left, and ends. Never rejects; takes SPANS_EXPORT_MS_MAX at most. */
  close(): Promise<void>;
}

/** @param settings undefined: no traces are made, and nothing is loaded for them: a tenth of a second, and 15 MB. */
export async function startTracing(
  settings: TracingSettings | undefined,
  { service, log }: { readonly service: string; readonly log: Logger },
): Promise<Tracing> {
  if (settings === undefined) return { close: () => Promise.resolve() };
  const { startTracer } = await import('./tracer.js');
  const url = `${settings.endpoint.replace(/\/+$/, '')}/v1/traces`;
  return { close: startTracer({ url, headers: settings.headers, service, log }) };
}
