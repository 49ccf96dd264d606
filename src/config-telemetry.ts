/** The settings of metrics and traces, which the worker and the gateway share; a part of config.ts, its one user. */
import type { z } from 'zod';
import { headers, text, url } from './config-fields.js';

export const telemetrySettings = {
  METRICS_HOST: text().default('127.0.0.1'),
  OTEL_EXPORTER_OTLP_ENDPOINT: url('http:', 'https:').optional(),
  OTEL_EXPORTER_OTLP_HEADERS: headers().optional(),
};

type TelemetrySettings = z.infer<z.ZodObject<typeof telemetrySettings>>;

/** undefined: no figures are shown. */
export function metricsSlice(s: TelemetrySettings, port: number | undefined) {
  return port === undefined ? undefined : { host: s.METRICS_HOST, port };
}

/** undefined: no traces are made. */
export function tracingSlice({
  OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
  OTEL_EXPORTER_OTLP_HEADERS: headers = {},
}: TelemetrySettings) {
  return endpoint === undefined ? undefined : { endpoint, headers };
}
