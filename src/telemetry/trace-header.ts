/** The context of a trace as a header of Temporal's, and back. */
import { context, propagation, ROOT_CONTEXT, type Context } from '@opentelemetry/api';
import { defaultPayloadConverter, type Headers, type Payload } from '@temporalio/common';
import { TRACE_HEADER } from '../contracts/tracing.js';

/** Of the span that is active; nothing where there is none. */
export function traceHeaders(): Headers {
  const carrier: Record<string, string> = {};
  propagation.inject(context.active(), carrier);
  return Object.keys(carrier).length === 0 ? {} : { [TRACE_HEADER]: defaultPayloadConverter.toPayload(carrier) };
}

/** What is no header of a trace leads to a trace of its own. Never throws: anybody may send one. */
export function contextOf(header: unknown): Context {
  try {
    const carrier = defaultPayloadConverter.fromPayload<unknown>(header as Payload);
    return typeof carrier === 'object' && carrier !== null ? propagation.extract(ROOT_CONTEXT, carrier) : ROOT_CONTEXT;
  } catch {
    return ROOT_CONTEXT; // Not ours, or damaged: a trace is no reason to fail.
  }
}
