/** The adapter's one translation: what the machines API answered -> a code of ours. No policy about what to do then. */
import { InnkeeperError, type ErrorCode } from '../../contracts/errors.js';
import type { ApiFailure } from './transport.js';

const byProviderCode: Readonly<Record<string, ErrorCode>> = {
  REVISION_MISMATCH: 'REVISION_CONFLICT',
  IDEMPOTENCY_KEY_REUSED: 'PROVIDER_KEY_REUSED',
  INVALID_STATE: 'MACHINE_INVALID_STATE',
  RATE_LIMITED: 'PROVIDER_RATE_LIMITED',
  DEPENDENCY_UNAVAILABLE: 'PROVIDER_UNAVAILABLE',
  AUTH_REQUIRED: 'PROVIDER_UNAUTHORIZED',
  AUTH_INVALID: 'PROVIDER_UNAUTHORIZED',
  AUTH_ORG_MISMATCH: 'PROVIDER_UNAUTHORIZED',
  AUTH_SCOPE_FORBIDDEN: 'PROVIDER_UNAUTHORIZED',
  BETA_ACCESS_REQUIRED: 'PROVIDER_UNAUTHORIZED',
};

/** Some fleets answer public keys so on lifecycle routes; the key itself is good. */
export function isRouteClosed(failure: ApiFailure): boolean {
  return failure.status === 501 || (failure.status === 401 && /internal route signature/i.test(failure.message));
}

/** True where the API has no such route at all; on a machine's own route a 404 may also mean that the machine is gone. */
export function mayLackRoute(failure: ApiFailure): boolean {
  return failure.status === 404 || failure.status === 405 || failure.status === 501;
}

/** `target`: a route of one machine (404 means that it is gone) or of the account. */
export function toErrorCode(failure: ApiFailure, target: 'machine' | 'account'): ErrorCode {
  if (isRouteClosed(failure)) return 'PROVIDER_ROUTE_CLOSED';
  const { status, errorCode } = failure;
  // The provider names the code: a name that every object has is not in the table.
  const known = errorCode !== undefined && Object.hasOwn(byProviderCode, errorCode) && byProviderCode[errorCode];
  if (known) return known;
  if (status === 401 || status === 403) return 'PROVIDER_UNAUTHORIZED';
  if ((status === 404 || status === 410) && target === 'machine' && !failure.isHtml) return 'MACHINE_LOST';
  if (status === 409 && target === 'machine') return 'MACHINE_INVALID_STATE';
  if (status === 412) return 'REVISION_CONFLICT';
  if (status === 429) return 'PROVIDER_RATE_LIMITED';
  if (status === 408 || status === 425 || status >= 500 || failure.retryable === true) return 'PROVIDER_UNAVAILABLE';
  return 'PROVIDER_REFUSED';
}

export function toProviderError(failure: ApiFailure, target: 'machine' | 'account'): InnkeeperError {
  const hint = failure.isHtml ? ' (a web page answered: is the base URL right?)' : '';
  return new InnkeeperError(
    toErrorCode(failure, target),
    `The machine provider answered ${failure.status}${failure.errorCode === undefined ? '' : ` ${failure.errorCode}`}: ${failure.message}${hint}`,
    {
      ...(failure.retryAfterMs === undefined ? {} : { retryAfterMs: failure.retryAfterMs }),
      details: {
        status: failure.status,
        ...(failure.errorCode === undefined ? {} : { providerCode: failure.errorCode }),
        ...(failure.retryable === undefined ? {} : { retryable: failure.retryable }),
        ...(failure.fields.length === 0 ? {} : { fields: failure.fields.join(' ') }),
      },
    },
  );
}
