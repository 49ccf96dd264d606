/**
 * A process's figures for Prometheus, on a listener of their own: it asks for no key, so it is bound to loopback unless told otherwise,
 * and never shares a port with what users reach. Figures name no user, no turn and no text of either.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { collectDefaultMetrics, type Registry } from 'prom-client';
import { InnkeeperError } from '../contracts/errors.js';

export interface MetricsSettings {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
}

export interface MetricsServer {
  readonly url: string;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const TEXT = 'text/plain; charset=utf-8';

/** Serves the registry, and the process's own figures with it. Keeps no process alive. @throws InnkeeperError PORT_IN_USE */
export async function serveMetrics(registry: Registry, { host, port }: MetricsSettings): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    void answer(registry, request.url ?? '').then(({ status, type, body }) =>
      response.writeHead(status, { 'content-type': type }).end(body),
    );
  });
  server.unref();
  await listen(server, { host, port });
  collectDefaultMetrics({ register: registry });
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}/metrics`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Never rejects. */
async function answer(registry: Registry, url: string): Promise<Answer> {
  if (url.split('?')[0] !== '/metrics')
    return { status: 404, type: TEXT, body: 'There is /metrics, and nothing else.\n' };
  try {
    return { status: 200, type: registry.contentType, body: await registry.metrics() };
  } catch {
    // What could not be counted is told as such, and asked again at the next scrape.
    return { status: 500, type: TEXT, body: 'The figures could not be collected.\n' };
  }
}

function listen(server: Server, at: MetricsSettings): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      const words = `Metrics cannot be served on ${at.host}:${at.port}`;
      const isTaken = 'code' in cause && cause.code === 'EADDRINUSE';
      reject(
        isTaken
          ? new InnkeeperError('PORT_IN_USE', `${words}: the port is taken.`, { cause })
          : new Error(words, { cause }),
      );
    });
    server.listen(at, () => resolve());
  });
}
