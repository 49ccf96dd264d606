/**
 * Spans, by the API of OpenTelemetry alone: where no tracer was started they cost next to nothing. A span names what was done and its
 * code. Never in one: a user's id, a prompt, a command, output, a key, or the words of an error, which may repeat any of these.
 */
import { context, SpanKind, SpanStatusCode, trace, type Attributes, type Context, type Span } from '@opentelemetry/api';
import { InnkeeperError, isErrorCode, type ErrorCode } from '../contracts/errors.js';

/** Names of what is thrown where the caller itself ended it. */
const GIVEN_UP: ReadonlySet<string> = new Set(['AbortError', 'TimeoutError', 'CancelledFailure']);

export interface SpanOptions {
  readonly kind?: keyof typeof SpanKind;
  readonly attributes?: Attributes;
  /** Default: the span that is active. */
  readonly parent?: Context;
}

/** Starts a span; whoever does so ends it. */
export function startSpan(name: string, { kind = 'INTERNAL', attributes = {}, parent }: SpanOptions = {}): Span {
  const tracer = trace.getTracer('innkeeper');
  return tracer.startSpan(name, { kind: SpanKind[kind], attributes }, parent ?? context.active());
}

/** Does something within a span. What it throws goes on; the span keeps the code. */
export async function inSpan<T>(name: string, options: SpanOptions, work: () => Promise<T>): Promise<T> {
  const span = startSpan(name, options);
  try {
    return await context.with(trace.setSpan(options.parent ?? context.active(), span), work);
  } catch (error) {
    const code = codeOf(error);
    span.setAttribute('error.type', code);
    if (code !== 'CANCELLED') span.setStatus({ code: SpanStatusCode.ERROR, message: code });
    throw error;
  } finally {
    span.end();
  }
}

/** The code of anything that was thrown: ours, a failure's that carries one, or `CANCELLED` for what was given up. */
export function codeOf(error: unknown): ErrorCode {
  if (InnkeeperError.is(error)) return error.code;
  if (!(error instanceof Error)) return 'INTERNAL';
  if ('type' in error && isErrorCode(error.type)) return error.type;
  return GIVEN_UP.has(error.name) ? 'CANCELLED' : 'INTERNAL';
}
