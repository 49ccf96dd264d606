/**
 * Which connections become WebSockets. Node hands over every request that would like to be upgraded, to whatever; those that ask for
 * anything else (HTTP/2 in clear text, as some clients do by themselves) are ordinary requests, and are read again as such.
 */
import { EventEmitter } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import websocket from '@fastify/websocket';
import { InnkeeperError } from '../contracts/errors.js';
import { TERMINAL_FRAME_BYTES_MAX } from '../contracts/limits.js';
import { TERMINAL_PROTOCOL } from '../contracts/terminal.js';
import type { Gateway } from './parts.js';

/** Names of headers that ask for an upgrade; `connection` names them once more. */
const OF_UPGRADE = /^(upgrade|http2-settings)$/i;

/** To be called before any route or hook is added. `end` ends what goes on over the sockets. */
export async function addUpgrades(app: Gateway, end: () => Promise<void>): Promise<void> {
  const { server } = app;
  const sockets = new EventEmitter();
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.headers.upgrade?.toLowerCase() !== 'websocket') return readAgain(server, request, socket, head);
    // Nobody listens any more: the gateway is ending.
    if (!sockets.emit('upgrade', request, socket, head)) socket.destroy();
  });
  await app.register(websocket, {
    options: {
      // It listens for upgrades, and for nothing else.
      server: sockets as unknown as Server,
      maxPayload: TERMINAL_FRAME_BYTES_MAX,
      perMessageDeflate: false,
      // Never the one that carries a credential.
      handleProtocols: (offered) => offered.has(TERMINAL_PROTOCOL) && TERMINAL_PROTOCOL,
    },
    // A frame that is too long, a socket that breaks: `close` follows, and does what is needed.
    errorHandler: (error, socket, request) => {
      request.log.info({ err: error }, 'a socket failed');
      socket.terminate();
    },
    preClose: async function () {
      await end();
      for (const socket of app.websocketServer.clients) socket.close(1001, 'the gateway is ending');
      app.websocketServer.close();
    },
  });
  app.addHook('onRequest', async ({ ws, routeOptions }) => {
    if (!ws || routeOptions.config.isWebSocket === true) return;
    throw new InnkeeperError('ROUTE_UNKNOWN', 'There is no WebSocket at this route.');
  });
}

function readAgain(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { method = 'GET', url = '/', rawHeaders } = request;
  const lines = [`${method} ${url} HTTP/1.1`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = rawHeaders.slice(at, at + 2);
    if (OF_UPGRADE.test(name)) continue;
    const isConnection = name.toLowerCase() === 'connection';
    lines.push(`${name}: ${isConnection ? withoutUpgrade(value) : value}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit('connection', socket);
}

function withoutUpgrade(connection: string): string {
  const options = connection.split(',').map((option) => option.trim());
  return options.filter((option) => !OF_UPGRADE.test(option)).join(', ');
}
