/**
 * The two error shapes of the vendor: coded JSON (shape A) for what its spec names, problem+json (shape B) for all
 * else. Handlers throw `WireError`; only the server's error handler writes it.
 */

export interface FieldProblem {
  location: string;
  message: string;
  value?: unknown;
}

export class WireError extends Error {
  constructor(
    readonly status: number,
    readonly body: Record<string, unknown>,
    readonly contentType: 'application/json' | 'application/problem+json',
    readonly headers: Record<string, string> = {},
  ) {
    super(String(body['message'] ?? body['detail'] ?? status));
  }

  /** The vendor's code, for the ledger. */
  get code(): string | null {
    return typeof this.body['error_code'] === 'string' ? this.body['error_code'] : null;
  }
}

export interface CodedError {
  status: number;
  code: string;
  message: string;
  retryable: boolean;
  retryAfterMs?: number;
  details?: Record<string, string>;
}

export function codedError(error: CodedError): WireError {
  const body: Record<string, unknown> = { error_code: error.code, message: error.message, retryable: error.retryable };
  if (error.retryAfterMs !== undefined) body['retry_after_ms'] = error.retryAfterMs;
  if (error.details) body['details'] = error.details;
  return new WireError(error.status, body, 'application/json');
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  413: 'Request Entity Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Entity',
  500: 'Internal Server Error',
  501: 'Not Implemented',
};

export function problem(status: number, detail: string, errors: readonly FieldProblem[] = []): WireError {
  const body: Record<string, unknown> = { type: 'about:blank', title: TITLES[status] ?? 'Error', status, detail };
  if (errors.length > 0) body['errors'] = errors;
  return new WireError(status, body, 'application/problem+json');
}

export function notFound(what: string): WireError {
  return problem(404, `${what} not found`);
}

export function revisionMismatch(expected: string, provided: string): WireError {
  return codedError({
    status: 409,
    code: 'REVISION_MISMATCH',
    message: 'machine revision does not match If-Match',
    retryable: true,
    details: { expected_revision: expected, provided_revision: provided },
  });
}

export interface StateConflict {
  currentDesired: string;
  currentObserved: string;
  expectedObserved: string;
  targetDesired: string;
}

export function invalidState(message: string, conflict: StateConflict): WireError {
  return codedError({
    status: 409,
    code: 'INVALID_STATE',
    message,
    retryable: false,
    details: {
      current_desired_state: conflict.currentDesired,
      current_observed_state: conflict.currentObserved,
      expected_observed_state: conflict.expectedObserved,
      target_desired_state: conflict.targetDesired,
    },
  });
}
