/** A collector of spans (OTLP over HTTP, JSON), as small as it can be: it keeps what it is sent, the bytes too. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface CollectedSpan {
  readonly service: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty: the first of its trace. */
  readonly parentSpanId: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}

export interface SpanCollector {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly endpoint: string;
  readonly spans: readonly CollectedSpan[];
  /** Everything that was received, as it came. */
  text(): string;
  /** Header of the last request. */
  header(name: string): string | undefined;
  close(): Promise<void>;
}

interface Attribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}
interface ExportRequest {
  readonly resourceSpans?: readonly {
    readonly resource?: { readonly attributes?: readonly Attribute[] };
    readonly scopeSpans?: readonly { readonly spans?: readonly Omit<CollectedSpan, 'service'>[] }[];
  }[];
}

export async function startSpanCollector(): Promise<SpanCollector> {
  const spans: CollectedSpan[] = [];
  const bodies: string[] = [];
  let headers: Readonly<Record<string, unknown>> = {};
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      if (request.method !== 'POST' || request.url !== '/v1/traces') return response.writeHead(404).end();
      headers = request.headers;
      bodies.push(body);
      spans.push(...read(JSON.parse(body) as ExportRequest));
      return response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1' }, resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    text: () => bodies.join('\n'),
    header: (name) => headers[name] as string | undefined,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function read({ resourceSpans = [] }: ExportRequest): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans = [] }) => {
    const service = String(toFields(resource?.attributes ?? [])['service.name']);
    return scopeSpans.flatMap((scope) =>
      (scope.spans ?? []).map((span) => ({
        ...{ service, name: span.name, traceId: span.traceId, spanId: span.spanId },
        parentSpanId: span.parentSpanId ?? '',
        attributes: toFields(span.attributes as unknown as readonly Attribute[]),
      })),
    );
  });
}

/** Without the type that each value comes wrapped in. */
function toFields(attributes: readonly Attribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}
