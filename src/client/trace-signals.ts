/** Gives the signal of a verb the trace of whoever called it, so that what the lane does for it joins that. Nothing where there is no trace. */
import type { WorkflowClientInterceptor } from '@temporalio/client';
import { inSpan } from '../telemetry/spans.js';
import { traceHeaders } from '../telemetry/trace-header.js';

export const traceSignals: WorkflowClientInterceptor = {
  signalWithStart: (input, next) =>
    inSpan(`signal ${input.signalName}`, { kind: 'PRODUCER' }, () =>
      next({ ...input, headers: { ...input.headers, ...traceHeaders() } }),
    ),
};
