/** How often one may ask: counted in this process by key (or the token's user), and by the user whom the path names. */
import rateLimit from '@fastify/rate-limit';
import type { FastifyRequest } from 'fastify';
import { InnkeeperError } from '../contracts/errors.js';
import { RATES_MAX } from '../contracts/limits.js';
import type { Gateway, GatewayParts } from './parts.js';

const MINUTE_MS = 60_000;

/** Counts a request that is authenticated. @throws InnkeeperError RATE_LIMITED */
export type CountRequest = (request: FastifyRequest) => Promise<void>;

export async function createRates(app: Gateway, { rates }: Pick<GatewayParts, 'rates'>): Promise<CountRequest> {
  await app.register(rateLimit, { global: false, cache: RATES_MAX });
  const limit = (max: number, keyGenerator: (request: FastifyRequest) => string) =>
    app.createRateLimit({ max, timeWindow: MINUTE_MS, keyGenerator });
  const checks = [
    limit(rates.keyPerMinute, ({ principal }) =>
      principal?.kind === 'key' ? principal.keyId : `of ${principal?.userId ?? ''}`,
    ),
    limit(rates.userPerMinute, (request) => userNamedBy(request) ?? ''),
  ];
  return async (request) => {
    for (const check of userNamedBy(request) === undefined ? checks.slice(0, 1) : checks) {
      const counted = await check(request);
      if (!counted.isAllowed && counted.isExceeded) {
        throw new InnkeeperError('RATE_LIMITED', `More than ${counted.max} requests came within a minute.`, {
          retryAfterMs: counted.ttl,
        });
      }
    }
  };
}

const userNamedBy = ({ params }: FastifyRequest): string | undefined => (params as { user?: string }).user;
