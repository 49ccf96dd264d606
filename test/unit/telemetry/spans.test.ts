/**
 * Goal: a span holds codes and never the words of an error, and work goes on the same with and without a tracer. Method: spans collected in
 * memory, by a tracer of the test's own.
 */
import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InnkeeperError } from '../../../src/contracts/errors.js';
import { TRACE_HEADER } from '../../../src/contracts/tracing.js';
import { codeOf, inSpan, startSpan } from '../../../src/telemetry/spans.js';
import { contextOf, traceHeaders } from '../../../src/telemetry/trace-header.js';

const SECRET = 'words-of-somebody';

it('without a tracer work is done, and no header is made', async () => {
  expect(await inSpan('nothing', {}, () => Promise.resolve(traceHeaders()))).toEqual({});
  await expect(inSpan('nothing', {}, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
});

describe('with a tracer', () => {
  const exporter = new InMemorySpanExporter();
  beforeAll(() => {
    trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }));
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  });
  afterAll(() => {
    for (const api of [trace, context, propagation]) api.disable();
  });

  it('a failure leaves its code, and what was given up is no error', async () => {
    const failures = [
      new InnkeeperError('MODEL_REJECTED', SECRET),
      new Error(SECRET),
      new DOMException(SECRET, 'AbortError'),
    ];
    for (const failure of failures) await inSpan('failing', {}, () => Promise.reject(failure)).catch(() => undefined);
    const spans = exporter.getFinishedSpans();
    expect(spans.map(({ attributes, status }) => [attributes['error.type'], status.message])).toEqual([
      ['MODEL_REJECTED', 'MODEL_REJECTED'],
      ['INTERNAL', 'INTERNAL'],
      ['CANCELLED', undefined],
    ]);
    expect(
      JSON.stringify(spans.map(({ name, attributes, status, events }) => [name, attributes, status, events])),
    ).not.toContain(SECRET);
  });

  it('the context travels in a header, and what is no such header begins a trace of its own', async () => {
    exporter.reset();
    const headers = await inSpan('sender', {}, () => Promise.resolve(traceHeaders()));
    startSpan('receiver', { parent: contextOf(headers[TRACE_HEADER]) }).end();
    for (const header of [undefined, null, 7, {}, { metadata: {}, data: new Uint8Array([0xff]) }]) {
      startSpan('other', { parent: contextOf(header) }).end();
    }
    const [sender, receiver, ...others] = exporter.getFinishedSpans();
    expect(receiver?.spanContext().traceId).toBe(sender?.spanContext().traceId);
    expect(receiver?.parentSpanContext?.spanId).toBe(sender?.spanContext().spanId);
    expect(others.map(({ parentSpanContext }) => parentSpanContext)).toEqual(Array(5).fill(undefined));
  });
});

it.each([
  [Object.assign(new Error('x'), { type: 'STALE_TRY' }), 'STALE_TRY'],
  [Object.assign(new Error('x'), { type: 'of another' }), 'INTERNAL'],
  [new DOMException('x', 'TimeoutError'), 'CANCELLED'],
  ['text', 'INTERNAL'],
  [undefined, 'INTERNAL'],
])('the code of %s is %s', (thrown, code) => {
  expect(codeOf(thrown)).toBe(code);
});
