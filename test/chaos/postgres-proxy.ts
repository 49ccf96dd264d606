/**
 * A TCP proxy before Postgres that breaks connections on request: all at once, at a commit (before the server hears of it, or before
 * the client hears the answer), or by refusing new ones as a server does that has no room.
 */
import { createServer, connect, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

export interface PostgresProxy {
  /** The same URL, led through the proxy. */
  through(url: string): string;
  /** Resets every connection. Answers how many there were. */
  resetAll(): number;
  /** Resets every connection and refuses new ones for a time: "too many clients". Resolves with the number of those refused. */
  exhaust(forMs: number): Promise<number>;
  /** Breaks the connection of the next commit. Resolves when that has happened. */
  cutNextCommit(when: 'before' | 'after'): Promise<void>;
  stop(): Promise<void>;
}

/** A simple query (Q) of just this word, as the pool sends it. */
const COMMIT = Buffer.from('Q\0\0\0\x0bcommit\0', 'latin1');
/** An ErrorResponse (E): severity, SQLSTATE 53300, message. */
const NO_ROOM = errorResponse({ S: 'FATAL', V: 'FATAL', C: '53300', M: 'sorry, too many clients already' });

export async function startPostgresProxy(serverPort: number): Promise<PostgresProxy> {
  const pairs = new Set<{ readonly client: Socket; readonly server: Socket }>();
  const cuts: { readonly when: 'before' | 'after'; readonly done: () => void }[] = [];
  let refused: number | undefined;

  const proxy = createServer({ noDelay: true }, (client) => {
    client.on('error', () => client.destroy()); // The other side is told by `close`.
    if (refused !== undefined) {
      refused += 1;
      client.once('data', () => client.end(NO_ROOM));
      return;
    }
    const server = connect({ port: serverPort, host: '127.0.0.1', noDelay: true });
    const pair = { client, server };
    pairs.add(pair);
    let isCutAfter = false;
    client.on('data', (bytes) => {
      const cut = bytes.includes(COMMIT) ? cuts.shift() : undefined;
      if (cut?.when === 'before') {
        cut.done();
        return breakPair(pair);
      }
      if (cut !== undefined) {
        isCutAfter = true;
        cut.done();
      }
      server.write(bytes);
    });
    server.on('data', (bytes) => {
      if (isCutAfter && bytes.includes('COMMIT')) return breakPair(pair);
      if (!isCutAfter) client.write(bytes);
    });
    server.on('error', () => server.destroy());
    for (const socket of [client, server]) socket.once('close', () => breakPair(pair));
  });

  function breakPair(pair: { readonly client: Socket; readonly server: Socket }): void {
    if (!pairs.delete(pair)) return;
    pair.client.resetAndDestroy();
    pair.server.destroy();
  }
  const resetAll = (): number => {
    const broken = [...pairs];
    broken.forEach(breakPair);
    return broken.length;
  };

  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const { port } = proxy.address() as AddressInfo;
  return {
    through(url) {
      const changed = new URL(url);
      changed.port = String(port);
      return changed.href;
    },
    resetAll,
    async exhaust(forMs) {
      refused ??= 0;
      resetAll();
      await new Promise((resolve) => setTimeout(resolve, forMs));
      const count = refused ?? 0;
      refused = undefined;
      return count;
    },
    cutNextCommit: (when) => new Promise<void>((done) => void cuts.push({ when, done })),
    async stop() {
      resetAll();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}

function errorResponse(fields: Readonly<Record<string, string>>): Buffer {
  const body = Object.entries(fields)
    .map(([type, text]) => `${type}${text}\0`)
    .join('');
  const message = Buffer.alloc(5 + body.length + 1);
  message.write('E', 0, 'latin1');
  message.writeInt32BE(4 + body.length + 1, 1);
  message.write(body, 5, 'latin1');
  return message;
}
