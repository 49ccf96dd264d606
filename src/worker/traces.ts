/**
 * The worker's spans, made around its parts from outside: activities, the guest, the provider, the model, and what the lane takes note of.
 * An attempt belongs to the trace of the message that it works for, and begins one of its own where no trace came with that.
 */
import type { ActivityInterceptorsFactory, InjectedSinks } from '@temporalio/worker';
import { cancelTurn, destroy, enqueueTurn, look, machineLost, sleepNow, wakeNow } from '../contracts/messages.js';
import { TRACE_HEADER, type LaneTraceSinks } from '../contracts/tracing.js';
import type { Guest } from '../guest/guest.js';
import type { MachineProvider } from '../machines/provider.js';
import type { ChatModel } from '../model/chat-model.js';
import { inSpan, startSpan } from '../telemetry/spans.js';
import { contextOf } from '../telemetry/trace-header.js';
import { leadCalls } from './lead.js';

/** Signals that have a name of their own in a span; another's name is whoever's who sent it. */
const SIGNALS: ReadonlySet<string> = new Set(
  [enqueueTurn, cancelTurn, machineLost, sleepNow, wakeNow, destroy, look].map(({ name }) => name),
);

export function traceActivities(): ActivityInterceptorsFactory {
  return ({ info }) => ({
    inbound: {
      execute(input, next) {
        const attributes = {
          'innkeeper.attempt': info.attempt,
          'innkeeper.queued_ms': Math.max(0, Date.now() - info.currentAttemptScheduledTimestampMs),
        };
        const parent = contextOf(input.headers[TRACE_HEADER]);
        return inSpan(`activity ${info.activityType}`, { kind: 'CONSUMER', attributes, parent }, () => next(input));
      },
    },
  });
}

/** Without `find`: a machine on its way is looked at several times a second. */
const PROVIDER_CALLS = ['create', 'list', 'wake', 'sleep', 'destroy', 'execute', 'openTerminal'] as const;

export function traceProvider(machines: MachineProvider): MachineProvider {
  return leadCalls(machines, PROVIDER_CALLS, (call, run) => inSpan(`provider.${call}`, { kind: 'CLIENT' }, run));
}

export function traceModel(model: ChatModel): ChatModel {
  return leadCalls(model, ['complete'], (call, run) => inSpan(`model.${call}`, { kind: 'CLIENT' }, run));
}

export function traceGuest(guest: Guest): Guest {
  const traced = <T extends object, N extends keyof T & string>(port: T, names: readonly N[]): T =>
    leadCalls(port, names, (call, run) => inSpan(`guest.${call}`, { kind: 'CLIENT' }, run));
  const outer = traced(guest, ['attach', 'bootstrap']);
  return { ...outer, attach: async (request) => traced(await outer.attach(request), ['run', 'stop']) };
}

/** Lanes find it whether or not there is a tracer: one that some other process traces speaks to it too. */
export function laneSinks(): InjectedSinks<LaneTraceSinks> {
  return {
    trace: {
      signalled: {
        fn(_info, signal, header) {
          const name = SIGNALS.has(signal) ? signal : 'other';
          startSpan(`lane ${name}`, { kind: 'CONSUMER', parent: contextOf(header) }).end();
        },
      },
    },
  };
}
