/**
 * Hands the trace of a message on to what the lane has done for it: the activities of its turn, and the next run of the lane. A lane
 * lives for months and serves many messages, so that a trace of the run itself would never end.
 *
 * In every bundle, and without effect where no signal carries a trace. It adds headers to commands that are made anyway: no command, no
 * promise, no random number, so that histories which were recorded without it replay, and those with it replay without.
 */
import type { Payload } from '@temporalio/common';
import { proxySinks, type WorkflowInterceptorsFactory } from '@temporalio/workflow';
import { TRACED_TURNS_MAX } from '../contracts/limits.js';
import { enqueueTurn } from '../contracts/messages.js';
import { TRACE_HEADER, TURN_TRACE_HEADER_PREFIX as PREFIX, type LaneTraceSinks } from '../contracts/tracing.js';

/** Done for no turn by name, and because of the last message. Sleep is not among them: it comes long after. */
const BECAUSE_OF_A_MESSAGE: ReadonlySet<string> = new Set([
  ...['openNextTurn', 'admitPrompt', 'recordCancel', 'provisionMachine', 'bootstrapMachine', 'wakeMachine'],
]);

const { trace } = proxySinks<LaneTraceSinks>();

export const interceptors: WorkflowInterceptorsFactory = () => {
  /** Traces by the keys of their turns, the latest last. */
  const ofTurns = new Map<string, Payload>();
  let ofLastMessage: Payload | undefined;

  function keep(turnKey: string, header: Payload): void {
    ofTurns.delete(turnKey);
    ofTurns.set(turnKey, header);
    for (const [oldest] of ofTurns) {
      if (ofTurns.size <= TRACED_TURNS_MAX) break;
      ofTurns.delete(oldest);
    }
  }

  function traceOf(activityType: string, input: unknown): Payload | undefined {
    const turnKey = keyIn(input);
    if (turnKey !== undefined) return ofTurns.get(turnKey);
    return BECAUSE_OF_A_MESSAGE.has(activityType) ? ofLastMessage : undefined;
  }

  return {
    inbound: [
      {
        execute(input, next) {
          for (const [name, header] of Object.entries(input.headers)) {
            if (name.startsWith(PREFIX)) keep(name.slice(PREFIX.length), header);
          }
          return next(input);
        },
        handleSignal(input, next) {
          const header = input.headers[TRACE_HEADER];
          ofLastMessage = header;
          if (header !== undefined) {
            const turnKey = input.signalName === enqueueTurn.name ? keyIn(admittedIn(input.args[0])) : undefined;
            if (turnKey !== undefined) keep(turnKey, header);
            trace.signalled(input.signalName, header);
          }
          return next(input);
        },
      },
    ],
    outbound: [
      {
        scheduleActivity(input, next) {
          const header = traceOf(input.activityType, input.args[0]);
          return next(
            header === undefined ? input : { ...input, headers: { ...input.headers, [TRACE_HEADER]: header } },
          );
        },
        continueAsNew(input, next) {
          if (ofTurns.size === 0) return next(input);
          const handedOn = [...ofTurns].map(([turnKey, header]) => [PREFIX + turnKey, header] as const);
          return next({ ...input, headers: { ...input.headers, ...Object.fromEntries(handedOn) } });
        },
      },
    ],
  };
};

/** Of what anybody may have sent. */
function keyIn(value: unknown): string | undefined {
  const { turnKey } = fieldsOf(value);
  return typeof turnKey === 'string' ? turnKey : undefined;
}

function admittedIn(value: unknown): unknown {
  return fieldsOf(value)['admitted'];
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
