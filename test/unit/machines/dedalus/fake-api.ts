/** A small HTTP and WebSocket server that answers as a test says, and remembers what it was asked. */
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';

interface Asked {
  route: string;
  headers: IncomingHttpHeaders;
  body: unknown;
}

/** One answer: status and body (JSON), or something done to the socket. */
type Answer =
  | { status: number; body?: unknown; headers?: Record<string, string>; text?: string }
  | { cut: 'before' | 'in the body' };

type Script = Record<string, Answer | Answer[] | ((asked: Asked) => Answer)>;

export interface FakeApi {
  readonly url: string;
  readonly asked: Asked[];
  /** Answers by `METHOD path`; a list is used up, its last one stays. What is not scripted is a 404 problem. */
  script(script: Script): void;
  /** Accepts sockets from now on; before, upgrades are answered by the script (as `UPGRADE path`). */
  onSocket(accept: (socket: WebSocket, asked: Asked) => void): void;
  routes(): string[];
  close(): Promise<void>;
}

export async function startFakeApi(): Promise<FakeApi> {
  let script: Script = {};
  let accept: ((socket: WebSocket, asked: Asked) => void) | undefined;
  const asked: Asked[] = [];
  const sockets = new WebSocketServer({ noServer: true });

  function answerFor(call: Asked): Answer {
    asked.push(call);
    const entry = script[call.route];
    if (entry === undefined) return { status: 404, body: { title: 'Not Found', detail: 'no such thing' } };
    if (typeof entry === 'function') return entry(call);
    if (!Array.isArray(entry)) return entry;
    return (entry.length > 1 ? entry.shift() : entry[0])!;
  }

  const server: Server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const text = Buffer.concat(pieces).toString();
      const route = `${request.method} ${request.url}`;
      const answer = answerFor({ route, headers: request.headers, body: text === '' ? undefined : JSON.parse(text) });
      if ('cut' in answer) {
        if (answer.cut === 'before') return void request.socket.resetAndDestroy();
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '500' });
        response.write('{"machine_id": "dm-');
        return void setImmediate(() => request.socket.destroy());
      }
      response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
      response.end(answer.text ?? (answer.body === undefined ? '' : JSON.stringify(answer.body)));
    });
  });
  server.on('upgrade', (request, socket, head) => {
    const call: Asked = { route: `UPGRADE ${request.url}`, headers: request.headers, body: undefined };
    if (script[call.route] === undefined && accept !== undefined) {
      asked.push(call);
      const then = accept;
      return void sockets.handleUpgrade(request, socket, head, (client) => then(client, call));
    }
    const answer = answerFor(call);
    if ('cut' in answer) return void socket.destroy();
    const body = JSON.stringify(answer.body ?? {});
    socket.end(
      `HTTP/1.1 ${answer.status} X\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    script: (next) => {
      script = next;
    },
    onSocket: (next) => {
      accept = next;
    },
    routes: () => asked.map((call) => call.route),
    async close() {
      for (const client of sockets.clients) client.terminate();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
