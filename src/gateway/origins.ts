/** Pages of other sites may not ask, unless the deployment names them: no header of theirs is answered, and nothing is done. */
import cors from '@fastify/cors';
import type { FastifyRequest } from 'fastify';
import { InnkeeperError } from '../contracts/errors.js';
import { CANCEL_HEADER } from './cancel-on-disconnect.js';
import type { Gateway } from './parts.js';

const PREFLIGHT_SECONDS = 600;
/** What OpenAI's client says of itself with every request. */
const OPENAI_CLIENT_HEADERS = [
  'arch',
  'helper-method',
  'lang',
  'os',
  'package-version',
  'poll-helper',
  'retry-count',
  'runtime',
  'runtime-version',
  'timeout',
].map((name) => `x-stainless-${name}`);

/** To be called before any route is added. */
export async function addOrigins(app: Gateway, origins: readonly string[]): Promise<void> {
  const named = new Set(origins);
  app.addHook('onRequest', async (request) => {
    const { origin } = request.headers;
    if (origin === undefined || named.has(origin) || isOwn(origin, request)) return;
    throw new InnkeeperError('ORIGIN_REFUSED', 'A page of another site asked.');
  });
  if (origins.length === 0) return;
  await app.register(cors, {
    origin: [...origins],
    methods: ['GET', 'POST', 'PUT', 'DELETE'],
    allowedHeaders: [
      ...['authorization', 'content-type', 'idempotency-key', 'last-event-id', 'range', 'x-request-id'],
      ...['x-innkeeper-user', 'x-innkeeper-commands', CANCEL_HEADER],
      ...['mcp-method', 'mcp-name', 'mcp-protocol-version', 'mcp-session-id'],
      ...['if-match', 'if-none-match', 'if-range'],
      ...OPENAI_CLIENT_HEADERS,
    ],
    exposedHeaders: [
      ...['content-disposition', 'content-range', 'etag', 'location', 'mcp-session-id', 'retry-after'],
      ...['x-output-bytes', 'x-request-id', 'x-should-retry'],
    ],
    maxAge: PREFLIGHT_SECONDS,
  });
}

/** By host alone: in front of the gateway may be one who ends TLS. */
function isOwn(origin: string, { host }: FastifyRequest): boolean {
  return URL.canParse(origin) && new URL(origin).host === host;
}
