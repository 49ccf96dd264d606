/** Authentication: checked before anything else, on every route. */
import { timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { codedError, type WireError } from '../wire/errors.js';

/** Reserved values of X-Dedalus-Org-Id, so that a person can see the vendor's refusals without the admin route. */
const RESERVED_ORGS: Readonly<Record<string, { code: string; message: string }>> = {
  'org-without-beta': { code: 'BETA_ACCESS_REQUIRED', message: 'organization is not admitted to the beta' },
  'org-of-someone-else': { code: 'AUTH_ORG_MISMATCH', message: 'key does not belong to this organization' },
  'org-without-scope': { code: 'AUTH_SCOPE_FORBIDDEN', message: 'key lacks the required scope' },
};

/** @returns the refusal, or undefined when the caller may go on */
export function checkAuth(headers: IncomingHttpHeaders, apiKey: string): WireError | undefined {
  const bearer = /^Bearer\s+(.+)$/i.exec(headers.authorization ?? '')?.[1];
  const key = bearer ?? headers['x-api-key'];
  if (typeof key !== 'string' || key === '') {
    return codedError({ status: 401, code: 'AUTH_REQUIRED', message: 'an API key is required', retryable: false });
  }
  if (!isSame(key, apiKey)) {
    return codedError({ status: 401, code: 'AUTH_INVALID', message: 'the API key is not valid', retryable: false });
  }
  const org = headers['x-dedalus-org-id'];
  const refusal = typeof org === 'string' && Object.hasOwn(RESERVED_ORGS, org) ? RESERVED_ORGS[org] : undefined;
  return refusal && codedError({ status: 403, ...refusal, retryable: false });
}

export function isSame(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
