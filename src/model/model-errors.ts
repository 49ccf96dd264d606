/** The model adapter's one translation: what the model service answered -> a code of ours. */
import { Dedalus } from 'dedalus-labs';
import { InnkeeperError, type ErrorCode } from '../contracts/errors.js';
import { readRetryAfterMs } from '../contracts/retry-hint.js';

const MESSAGE_CHARACTERS_MAX = 500;
const SECRET_LENGTH_MIN = 6;

/** Code for an HTTP status; undefined: no answer came at all. */
function statusToCode(status: number | undefined): ErrorCode {
  if (status === undefined || status === 408 || status === 409 || status === 425 || status >= 500) {
    return 'MODEL_UNAVAILABLE';
  }
  if (status === 401 || status === 402 || status === 403) return 'MODEL_UNAUTHORIZED';
  if (status === 429) return 'MODEL_RATE_LIMITED';
  return 'MODEL_REJECTED';
}

/** Whatever the library threw, as an error of ours without secrets. */
export function toModelError(error: unknown, apiKey: string): InnkeeperError {
  if (InnkeeperError.is(error)) return error;
  if (!(error instanceof Dedalus.APIError)) {
    return new InnkeeperError(
      'MODEL_UNAVAILABLE',
      `The model's answer could not be read: ${clean(reason(error), apiKey)}`,
    );
  }
  const status: unknown = error.status;
  const headers: unknown = error.headers;
  if (typeof status !== 'number') {
    // An error event inside a stream, or no connection.
    return toStreamError(error.error, clean(reason(error), apiKey), apiKey);
  }
  const retryAfterMs = readRetryAfterMs({
    bodyMs: isRecord(error.error) ? error.error['retry_after_ms'] : undefined,
    header: (name) => (headers instanceof Headers ? headers.get(name) : undefined),
    nowMs: Date.now(),
  });
  return new InnkeeperError(
    statusToCode(status),
    `The model service answered ${status}: ${clean(serviceWords(error.error) ?? error.message, apiKey)}`,
    { ...(retryAfterMs === undefined ? {} : { retryAfterMs }), details: { status } },
  );
}

/** An error that a service sent inside a stream that had begun with 200: `{ error: { message, code? } }` or just that object. */
export function toStreamError(body: unknown, fallback: string, apiKey: string): InnkeeperError {
  const inner = isRecord(body) && isRecord(body['error']) ? body['error'] : body;
  const given = isRecord(inner) ? (inner['status'] ?? inner['code']) : undefined;
  // Not every value of JSON can be made a number: `{ "valueOf": 1 }` cannot.
  const status = typeof given === 'number' || typeof given === 'string' ? Number(given) : Number.NaN;
  const isStatus = Number.isInteger(status) && status >= 400 && status <= 599;
  return new InnkeeperError(
    statusToCode(isStatus ? status : undefined),
    `The model service broke off: ${clean(serviceWords(body) ?? fallback, apiKey)}`,
  );
}

function serviceWords(body: unknown): string | undefined {
  if (!isRecord(body)) return undefined;
  const inner = body['error'];
  const words = isRecord(inner) ? inner['message'] : (inner ?? body['message'] ?? body['detail']);
  return typeof words === 'string' ? words : undefined;
}

function reason(error: unknown): string {
  let words = 'unknown reason';
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth += 1) {
    words = `${'code' in at && typeof at.code === 'string' ? `${at.code} ` : ''}${at.message}`;
  }
  return words;
}

function clean(text: string, apiKey: string): string {
  const bare = (apiKey.length >= SECRET_LENGTH_MIN ? text.replaceAll(apiKey, '[key]') : text)
    .replace(/\b(bearer)\s+\S+/gi, '$1 [key]')
    .replace(/\b(sk|dsk)-[\w-]{6,}/g, '[key]')
    // eslint-disable-next-line no-control-regex -- control characters are what is taken out
    .replace(/[\s\u0000-\u001f\u007f-\u009f]+/g, ' ')
    .trim();
  return bare.length > MESSAGE_CHARACTERS_MAX ? `${bare.slice(0, MESSAGE_CHARACTERS_MAX)}…` : bare;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
