/** How often one may ask: counted in this process by key (or the token's user), and by the user whom the request is about. */
import rateLimit from '@fastify/rate-limit';
import type { FastifyRequest } from 'fastify';
import { InnkeeperError } from '../contracts/errors.js';
import { RATES_MAX } from '../contracts/limits.js';
import type { Gateway, GatewayParts } from './parts.js';

const MINUTE_MS = 60_000;

type Count = (request: FastifyRequest) => Promise<void>;

/** Both count a request that is authenticated. @throws InnkeeperError RATE_LIMITED */
export interface Rates {
  /** By its sender, and by the user whom the path names. */
  readonly countRequest: Count;
  /** By the user whom it names elsewhere (`namedUser`). */
  readonly countNamedUser: Count;
}

export async function createRates(app: Gateway, { rates }: Pick<GatewayParts, 'rates'>): Promise<Rates> {
  await app.register(rateLimit, { global: false, cache: RATES_MAX });
  const limit = (max: number, keyGenerator: (request: FastifyRequest) => string): Count => {
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
  const ofUser = limit(rates.userPerMinute, (request) => userInPath(request) ?? request.namedUser ?? '');
  return {
    async countRequest(request) {
      await ofSender(request);
      if (userInPath(request) !== undefined) await ofUser(request);
    },
    countNamedUser: ofUser,
  };
}

const userInPath = ({ params }: FastifyRequest): string | undefined => (params as { user?: string }).user;
