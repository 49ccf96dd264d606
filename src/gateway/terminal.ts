/**
 * A person's terminal as a WebSocket. Who asks, from which page and how often is settled before the upgrade, as for every route; what
 * else keeps them from it is told in a frame, since a browser shows its page nothing of an upgrade that was refused.
 */
import { z } from 'zod';
import { InnkeeperError } from '../contracts/errors.js';
import { TERMINAL_COLUMNS, TERMINAL_COLUMNS_MAX, TERMINAL_ROWS, TERMINAL_ROWS_MAX } from '../contracts/limits.js';
import { TERMINAL_PROTOCOL } from '../contracts/terminal.js';
import { offeredProtocols, type Principal } from './auth.js';
import { describe, problems, userOf } from './routes.js';
import type { Gateway } from './parts.js';
import { refuse } from './terminal-session.js';
import type { TerminalSessions } from './terminal-sessions.js';
import { userParams } from './views.js';

const terminalQuery = z.object({
  columns: z.coerce.number().int().min(1).max(TERMINAL_COLUMNS_MAX).default(TERMINAL_COLUMNS),
  rows: z.coerce.number().int().min(1).max(TERMINAL_ROWS_MAX).default(TERMINAL_ROWS),
  lease: z.string().max(64).optional().describe('`leaseId` of a terminal of yours whose connection broke'),
});

export function addTerminalRoutes(app: Gateway, sessions: TerminalSessions): void {
  app.route({
    method: 'GET',
    url: '/v1/users/:user/terminal',
    ...describe('user', {
      ...{
        summary: "Take the keyboard of the user's machine (WebSocket)",
        description:
          `Offer the subprotocol ${TERMINAL_PROTOCOL}; a browser offers \`bearer.<credential>\` beside it, in place of the header. ` +
          'Binary frames are bytes of the shell, both ways; text frames are JSON: docs/clients.md.',
        tags: ['terminal'],
        params: userParams,
        querystring: terminalQuery,
      },
      response: {
        101: { description: 'The terminal', content: { 'application/octet-stream': { schema: z.any() } } },
        ...problems,
      },
    }),
    config: { access: 'user', isWebSocket: true },
    preHandler: async (request) => {
      userOf(request.params);
      if (!request.ws) throw new InnkeeperError('UPGRADE_REQUIRED', 'A terminal is a WebSocket.');
      if (!offeredProtocols(request).includes(TERMINAL_PROTOCOL)) {
        throw new InnkeeperError('INVALID_INPUT', `The subprotocol ${TERMINAL_PROTOCOL} was not offered.`);
      }
    },
    handler: () => {
      throw new Error('an upgrade that was taken came to the handler of requests');
    },
    wsHandler: async (socket, request) => {
      // Keys that are typed ahead wait until there is a shell for them.
      socket.pause();
      const { columns, rows, lease: leaseId } = request.query;
      try {
        const userId = userOf(request.params);
        const holder = holderOf(request.principal);
        const { session, isResumed } = await sessions.take({ userId, holder, leaseId, columns, rows });
        session.attach(socket, { isResumed });
        socket.resume();
      } catch (error) {
        refuse(socket, error);
      }
    },
  });
}

/** As others are told who has the keyboard: nobody's words, and no secret. */
function holderOf(principal: Principal | undefined): string {
  return principal?.kind === 'key' ? `key ${principal.keyId}` : 'user';
}
