/** Tokens of users (JWT), signed by the chat product: checked against its published keys. */
import { createRemoteJWKSet, errors, jwtVerify } from 'jose';
import { InnkeeperError } from '../contracts/errors.js';
import { parseUserId } from '../contracts/ids.js';

/** Signatures with a private key of the issuer; nothing that a reader of the published keys could forge, and never `none`. */
const ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'RS256', 'PS256'];
const CLOCK_SKEW_SECONDS = 10;
const JWKS_TIMEOUT_MS = 5_000;

export interface UserTokens {
  /** The user of the token (`sub`). @throws InnkeeperError UNAUTHENTICATED, TOKEN_KEYS_UNAVAILABLE */
  verify(token: string): Promise<string>;
  /** Whether the issuer's keys are known, or can be fetched. */
  hasKeys(): Promise<boolean>;
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
        if (isAway(error)) {
          const message = "The keys of the tokens' issuer cannot be fetched.";
          throw new InnkeeperError('TOKEN_KEYS_UNAVAILABLE', message, { cause: error });
        }
        const reason = error instanceof errors.JWTExpired ? 'has expired' : 'is not valid here';
        throw new InnkeeperError('UNAUTHENTICATED', `The token ${reason}.`);
      }
    },
    async hasKeys() {
      if (keys.jwks() !== undefined) return true;
      return keys.reload().then(
        () => true,
        () => false,
      );
    },
  };
}

/** What says nothing about the token: the issuer did not answer, or not with keys. */
function isAway(error: unknown): boolean {
  if (error instanceof errors.JOSEError) {
    return (
      error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid || error.code === 'ERR_JOSE_GENERIC'
    );
  }
  return !InnkeeperError.is(error);
}
