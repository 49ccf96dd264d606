/** Injected faults of HTTP requests: those that strike before a request is handled, and those that spoil its answer. */
import type { FaultState, Faults } from '../faults/faults.js';
import { codedError, revisionMismatch, type WireError } from '../wire/errors.js';

export interface FaultPoint {
  route: string;
  machineId?: string;
}

const LIFECYCLE_ROUTES: ReadonlySet<string> = new Set([
  'machines.update',
  'machines.delete',
  'machines.sleep',
  'machines.wake',
]);

/** A refusal that takes the place of handling. */
export function takeRefusal(faults: Faults, point: FaultPoint): WireError | undefined {
  const status = faults.take('status', point);
  if (status) return statusError(status);
  if (point.route === 'machines.wake' || point.route === 'machines.sleep') {
    if (faults.take('internal-signature', point)) {
      const message = 'missing internal route signature';
      return codedError({ status: 401, code: 'AUTH_INVALID', message, retryable: false });
    }
  }
  if (point.route === 'executions.create' && faults.take('not-routable-503', point)) {
    const message = 'runtime is not available yet';
    return codedError({ status: 503, code: 'DEPENDENCY_UNAVAILABLE', message, retryable: true });
  }
  return undefined;
}

/** An internal race over the revision: the caller's If-Match was right, and loses all the same. */
export function takeConflict(
  faults: Faults,
  point: FaultPoint,
  revision: number,
  provided: string,
): WireError | undefined {
  if (!LIFECYCLE_ROUTES.has(point.route)) return undefined;
  return faults.take('revision-conflict', point) && revisionMismatch(String(revision + 1), provided);
}

const CODES: Readonly<Record<number, string>> = {
  400: 'BAD_REQUEST',
  401: 'AUTH_INVALID',
  403: 'AUTH_SCOPE_FORBIDDEN',
  409: 'REVISION_MISMATCH',
  412: 'PRECONDITION_FAILED',
  429: 'RATE_LIMITED',
  500: 'INTERNAL',
  502: 'BAD_GATEWAY',
  503: 'DEPENDENCY_UNAVAILABLE',
  504: 'GATEWAY_TIMEOUT',
};

export function statusError(fault: FaultState): WireError {
  const error = codedError({
    status: fault.status,
    code: fault.code ?? CODES[fault.status] ?? 'INJECTED',
    message: fault.message ?? 'injected fault',
    retryable: fault.retryable ?? (fault.status === 409 || fault.status === 429 || fault.status >= 500),
    ...(fault.retryAfterMs === undefined ? {} : { retryAfterMs: fault.retryAfterMs }),
  });
  if (fault.retryAfterHeaderMs !== undefined) {
    error.headers['retry-after'] = String(Math.ceil(fault.retryAfterHeaderMs / 1_000));
    error.headers['retry-after-ms'] = String(fault.retryAfterHeaderMs);
  }
  return error;
}

/** Changes a body that says something else than the truth. */
export function spoilBody(faults: Faults, point: FaultPoint, body: unknown): unknown {
  if (typeof body !== 'object' || body === null) return body;
  const fields = body as Record<string, unknown>;
  if ('items' in fields && faults.take('null-items', point)) return { ...fields, items: null };
  const status = fields['status'];
  const hasPhase = 'phase' in fields || (typeof status === 'object' && status !== null && 'phase' in status);
  if (!hasPhase) return body;
  const fault = faults.take('unknown-phase', point);
  if (!fault) return body;
  if ('phase' in fields) return { ...fields, phase: fault.phase };
  return { ...fields, status: { ...(status as object), phase: fault.phase } };
}
