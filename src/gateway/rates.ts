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
  const limit = (max: number, keyGenerator: (request: FastifyRequest) => string): CountRequest => {
    const check = app.createRateLimit({ max, timeWindow: MINUTE_MS, keyGenerator });
    return async (request) => {
      const counted = await check(request);
      if (counted.isAllowed || !counted.isExceeded) return;
      const { ttl: retryAfterMs } = counted;
      throw new InnkeeperError('RATE_LIMITED', `More than ${max} requests came within a minute.`, { retryAfterMs });
    };
  };
  const ofSender = limit(rates.keyPerMinute, ({ principal }) =>
    principal?.kind === 'key' ? principal.keyId : `of ${principal?.userId ?? ''}`,
  );
  const ofUser = limit(rates.userPerMinute, (request) => userNamedBy(request) ?? '');
  return async (request) => {
    await ofSender(request);
    if (userNamedBy(request) !== undefined) await ofUser(request);
  };
}

const userNamedBy = ({ params }: FastifyRequest): string | undefined => (params as { user?: string }).user;
