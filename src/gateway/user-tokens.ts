/** Tokens of users (JWT), signed by the chat product: checked against its published keys. */
import { createRemoteJWKSet, errors, jwtVerify } from 'jose';
import { InnkeeperError } from '../contracts/errors.js';
import { parseUserId } from '../contracts/ids.js';

/** Signatures with a private key of the issuer; nothing that a reader of the published keys could forge, and never `none`. */
const ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'RS256', 'PS256'];
const CLOCK_SKEW_SECONDS = 10;
const JWKS_TIMEOUT_MS = 5_000;

export interface UserTokens {
  /** The user of the token (`sub`). @throws InnkeeperError UNAUTHENTICATED; STORE_UNAVAILABLE never */
  verify(token: string): Promise<string>;
}

export interface UserTokenSettings {
  readonly jwksUrl: string;
  readonly issuer: string;
  readonly audience: string;
}

export function createUserTokens({ jwksUrl, issuer, audience }: UserTokenSettings): UserTokens {
  const keys = createRemoteJWKSet(new URL(jwksUrl), { timeoutDuration: JWKS_TIMEOUT_MS });
  return {
    async verify(token) {
      try {
        const { payload } = await jwtVerify(token, keys, {
          ...{ issuer, audience, algorithms: ALGORITHMS, clockTolerance: CLOCK_SKEW_SECONDS },
          requiredClaims: ['exp', 'sub'],
        });
        return parseUserId(payload.sub);
      } catch (error) {
        const isOurs = error instanceof errors.JOSEError || InnkeeperError.is(error);
        const reason = error instanceof errors.JWTExpired ? 'has expired' : 'is not valid here';
        throw new InnkeeperError('UNAUTHENTICATED', `The token ${reason}.`, isOurs ? {} : { cause: error });
      }
    },
  };
}
