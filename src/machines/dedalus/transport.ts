/**
 * One HTTP request to the machines API, over the generic verbs of `dedalus-labs`. Knows addresses, headers, time limits and how
 * to read an answer; knows no route and no code of ours except "the provider is away".
 *
 * What is taken out of the library's hands: retries (ours), idempotency keys (stored by the caller), environment variables,
 * logging, redirects (a custom key header would follow them to another host), and the rewriting of body keys to snake case
 * (it would rewrite the names of environment variables): bodies go out as ready JSON text.
 */
import { Dedalus } from 'dedalus-labs';
import { boundBody } from '../../contracts/bounded-body.js';
import { InnkeeperError } from '../../contracts/errors.js';
import { readRetryAfterMs } from '../../contracts/retry-hint.js';
import { withDeadline } from './deadline.js';
import { createRedactor } from './redact.js';
import { readWords } from './values.js';

/** Longest answer that is read: output of an execution and long lists are far below it. */
export const ANSWER_BYTES_MAX = 32 * 1024 * 1024;

export interface AdapterLog {
  warn(details: object, message: string): void;
}

export interface TransportOptions {
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly organizationId?: string | undefined;
  /** For one request, answer and body together. */
  readonly requestTimeoutMs: number;
  readonly fetch?: typeof fetch | undefined;
}

export interface ApiRequest {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  readonly path: string;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly query?: Readonly<Record<string, string | number>>;
  /** Demanded on everything but GET. */
  readonly idempotencyKey?: string;
  readonly ifMatch?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ApiSuccess {
  readonly ok: true;
  readonly status: number;
  /** Parsed JSON; undefined where there was none. */
  readonly body: unknown;
  /** Without quotes and weakness mark; undefined where there is none. */
  readonly etag: string | undefined;
}

export interface ApiFailure {
  readonly ok: false;
  readonly status: number;
  readonly errorCode: string | undefined;
  /** The provider's own words, shortened, without secrets. */
  readonly message: string;
  /** As the body says; undefined where it does not. */
  readonly retryable: boolean | undefined;
  readonly retryAfterMs: number | undefined;
  /** Names of the request's fields that the answer complains about, as far as it says. */
  readonly fields: readonly string[];
  /** A web page instead of an API's answer: most likely not the API at all. */
  readonly isHtml: boolean;
}

export type ApiAnswer = ApiSuccess | ApiFailure;

export interface Transport {
  /**
   * Resolves for every HTTP status. @throws InnkeeperError PROVIDER_UNAVAILABLE when no whole answer came (the request may have
   * been done: repeat it with the same key); the signal's reason when aborted.
   */
  send(request: ApiRequest): Promise<ApiAnswer>;
  readonly baseUrl: URL;
  /** Authentication for requests that do not go through `send` (the terminal's socket). */
  authHeaders(): Record<string, string>;
  /** Takes secrets and control characters out of text from outside. */
  redact(text: string): string;
}

const silent = { error() {}, warn() {}, info() {}, debug() {} };

export function createTransport(options: TransportOptions): Transport {
  const baseUrl = new URL(options.baseUrl);
  const redact = createRedactor([options.apiKey]);
  const orgHeaders: Record<string, string> =
    options.organizationId === undefined || options.organizationId === ''
      ? {}
      : { 'X-Dedalus-Org-Id': options.organizationId };
  const client = new Dedalus({
    baseURL: options.baseUrl.replace(/\/+$/, ''),
    apiKey: options.apiKey,
    xAPIKey: options.apiKey,
    organization: null,
    provider: null,
    providerKey: null,
    providerModel: null,
    timeout: options.requestTimeoutMs,
    maxRetries: 0,
    logLevel: 'off',
    logger: silent,
    defaultHeaders: orgHeaders,
    fetchOptions: { redirect: 'manual' },
    fetch: async (input: string | URL | Request, init?: RequestInit) =>
      boundBody(await (options.fetch ?? fetch)(input, init), ANSWER_BYTES_MAX),
  });

  async function send(request: ApiRequest): Promise<ApiAnswer> {
    if (request.method !== 'get' && request.idempotencyKey === undefined) {
      throw new Error(`No idempotency key for ${request.method} ${request.path}`);
    }
    const deadline = withDeadline(request.signal, options.requestTimeoutMs);
    try {
      const { data, response } = await client[request.method]<unknown>(request.path, {
        signal: deadline.signal,
        ...(request.query === undefined ? {} : { query: request.query }),
        ...(request.idempotencyKey === undefined ? {} : { idempotencyKey: request.idempotencyKey }),
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
        headers: {
          ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(request.ifMatch === undefined ? {} : { 'If-Match': request.ifMatch }),
        },
      }).withResponse();
      return {
        ok: true,
        status: response.status,
        body: data ?? undefined,
        etag: readEtag(response.headers.get('etag')),
      };
    } catch (error) {
      request.signal?.throwIfAborted();
      if (error instanceof Dedalus.APIError && typeof error.status === 'number') return toFailure(error, error.status);
      throw new InnkeeperError(
        'PROVIDER_UNAVAILABLE',
        deadline.expired()
          ? `The machine provider did not answer ${request.method.toUpperCase()} within ${options.requestTimeoutMs} ms.`
          : `No whole answer of the machine provider to ${request.method.toUpperCase()}: ${redact(networkReason(error))}`,
      );
    } finally {
      deadline.release();
    }
  }

  function toFailure(error: InstanceType<typeof Dedalus.APIError>, status: number): ApiFailure {
    const body = isRecord(error.error) ? error.error : {};
    const headers = error.headers instanceof Headers ? error.headers : new Headers();
    const code = body['error_code'];
    const text = body['message'] ?? body['detail'] ?? body['title'];
    const issues = Array.isArray(body['errors']) ? body['errors'].filter(isRecord) : [];
    const issueText = issues.map((issue) => `${readWords(issue['location'])} ${readWords(issue['message'])}`.trim());
    const retryAfterMs = readRetryAfterMs({
      bodyMs: body['retry_after_ms'],
      header: (name) => headers.get(name),
      nowMs: Date.now(),
    });
    const words = [typeof text === 'string' ? text : '', ...issueText].filter((part) => part !== '').join('; ');
    return {
      ok: false,
      status,
      errorCode: typeof code === 'string' ? code : undefined,
      message: redact(words === '' ? error.message : words),
      retryable: typeof body['retryable'] === 'boolean' ? body['retryable'] : undefined,
      retryAfterMs,
      fields: issues.map((issue) => readWords(issue['location'])).filter((field) => field !== ''),
      isHtml: /html/i.test(headers.get('content-type') ?? ''),
    };
  }

  return {
    send,
    baseUrl,
    authHeaders: () => ({ Authorization: `Bearer ${options.apiKey}`, 'x-api-key': options.apiKey, ...orgHeaders }),
    redact,
  };
}

/** A plain JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readEtag(header: string | null): string | undefined {
  const bare = header
    ?.trim()
    .replace(/^W\//, '')
    .replace(/^"(.*)"$/, '$1');
  return bare === undefined || bare === '' ? undefined : bare;
}

/** The innermost reason of a network error; the library's own messages say only "Connection error". */
function networkReason(error: unknown): string {
  let reason = 'unknown reason';
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth += 1) {
    const code = 'code' in at && typeof at.code === 'string' ? `${at.code} ` : '';
    reason = `${code}${at.message}`;
  }
  return reason;
}
