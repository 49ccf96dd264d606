/** One request to the gateway: the credential added, and whatever goes wrong as a problem that says what to do. */

/** Asking is given up after this long; a stream is no asking. */
const ANSWER_MS_MAX = 20_000;

export interface ProblemFields {
  /** Our stable code, or UNREACHABLE where no answer came. */
  readonly code: string;
  /** 0: no answer came. */
  readonly status: number;
  /** What went wrong. */
  readonly detail: string;
  /** What to do about it. */
  readonly advice: string;
  readonly retryAfterMs?: number;
}

export class Problem extends Error {
  readonly code: string;
  readonly status: number;
  readonly advice: string;
  readonly retryAfterMs: number;

  constructor({ code, status, detail, advice, retryAfterMs = 0 }: ProblemFields) {
    super(detail);
    this.name = 'Problem';
    this.code = code;
    this.status = status;
    this.advice = advice;
    this.retryAfterMs = retryAfterMs;
  }
}

export interface Ask {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** It is open for as long as the signal lets it. */
  readonly isStream?: boolean;
}

export type Http = (path: string, ask?: Ask) => Promise<Response>;

export interface HttpOptions {
  /** In front of every path; empty: where the page is. */
  readonly base: string;
  readonly secret: string;
  /** Called for each answer 401. */
  readonly onRefused: (problem: Problem) => void;
}

/** Rejects with a Problem, or with the signal's reason. */
export function createHttp({ base, secret, onRefused }: HttpOptions): Http {
  return async (path, { method = 'GET', body, headers = {}, signal, isStream = false } = {}) => {
    const signals = [
      ...(signal === undefined ? [] : [signal]),
      ...(isStream ? [] : [AbortSignal.timeout(ANSWER_MS_MAX)]),
    ];
    const request = {
      method,
      headers: {
        authorization: `Bearer ${secret}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.any(signals),
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
    } as const;
    const response = await fetch(base + path, request).catch((reason: unknown) => {
      if (signal?.aborted === true) throw signal.reason;
      throw unreachable(reason);
    });
    if (response.ok) return response;
    const problem = await toProblem(response);
    if (problem.status === 401) onRefused(problem);
    throw problem;
  };
}

/** What `work` rejected with, as a problem. */
export function asProblem(reason: unknown): Problem {
  return reason instanceof Problem ? reason : unreachable(reason);
}

export function unreachable(reason: unknown): Problem {
  const isLate = reason instanceof DOMException && reason.name === 'TimeoutError';
  return new Problem({
    code: 'UNREACHABLE',
    status: 0,
    detail: isLate ? 'The gateway did not answer in time.' : 'The gateway cannot be reached.',
    advice: 'Check the connection, then try again: nothing is done twice.',
  });
}

export async function toProblem(response: Response): Promise<Problem> {
  const retryAfterMs = 1_000 * (Number(response.headers.get('retry-after')) || 0);
  const { status } = response;
  try {
    const body = (await response.json()) as { code?: unknown; title?: unknown; detail?: unknown };
    if (typeof body.code === 'string') {
      const [detail, advice] = [body.detail, body.title].map((text) => (typeof text === 'string' ? text : ''));
      return new Problem({ code: body.code, status, detail: detail ?? '', advice: advice ?? '', retryAfterMs });
    }
  } catch {
    // No problem document: a proxy answered.
  }
  return new Problem({
    ...{ code: 'UNREACHABLE', status, detail: `The gateway's side answered ${status}.` },
    ...{ advice: 'Try again; if it stays, look at what stands in front of the gateway.', retryAfterMs },
  });
}
