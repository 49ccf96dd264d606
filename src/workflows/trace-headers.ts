/**
 * Hands the trace of a message on to what the lane has done for it: the activities of its turn, and the next run of the lane. A lane
 * lives for months and serves many messages, so that a trace of the run itself would never end.
 *
 * In every bundle, and without effect where no signal carries a trace. It adds headers to commands that are made anyway: no command, no
 * random number, nothing that anybody waits for, so that histories which were recorded without it replay, and those with it replay without.
 */
import type { Payload } from '@temporalio/common';
import { proxySinks, type WorkflowInterceptorsFactory } from '@temporalio/workflow';
import type { OpenNextTurnResult, OpenTurn } from '../contracts/activities.js';
import { ID_BYTES_MAX, TRACED_TURNS_MAX } from '../contracts/limits.js';
import { enqueueTurn } from '../contracts/messages.js';
import { TRACE_HEADER, TURN_TRACE_HEADER_PREFIX as PREFIX, type LaneTraceSinks } from '../contracts/tracing.js';

/** Done for no turn by name, and because of the last message. Sleep is not among them: it comes long after. */
const BECAUSE_OF_A_MESSAGE: ReadonlySet<string> = new Set([
  ...['openNextTurn', 'admitPrompt', 'recordCancel', 'provisionMachine', 'bootstrapMachine', 'wakeMachine'],
]);

const ID = 'id:';

const { trace } = proxySinks<LaneTraceSinks>();

export const interceptors: WorkflowInterceptorsFactory = () => {
  /** Traces by the keys of their turns, or by what `idOf` makes of an id whose key is not known yet; the latest last. */
  const ofTurns = new Map<string, Payload>();
  let ofLastMessage: Payload | undefined;

  function keep(name: string, header: Payload): void {
    ofTurns.delete(name);
    ofTurns.set(name, header);
    for (const [oldest] of ofTurns) {
      if (ofTurns.size <= TRACED_TURNS_MAX) break;
      ofTurns.delete(oldest);
    }
  }

  /** Of a message that was not admitted before it was sent, the turn's key comes with the turn. */
  function learn(turn: OpenTurn | null | undefined): void {
    if (turn === null || turn === undefined) return;
    const header = ofTurns.get(idOf(turn.turnId));
    if (header !== undefined && !ofTurns.has(turn.turnKey)) keep(turn.turnKey, header);
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
          const handedOn = Object.entries(input.headers).flatMap(([name, header]) =>
            name.startsWith(PREFIX) ? [[name.slice(PREFIX.length), header] as const] : [],
          );
          for (const [name, header] of handedOn.toSorted(([one], [other]) => compareAges(one, other)))
            keep(name, header);
          return next(input);
        },
        handleSignal(input, next) {
          const header = input.headers[TRACE_HEADER];
          ofLastMessage = header;
          if (header !== undefined) {
            const name = input.signalName === enqueueTurn.name ? nameOf(input.args[0]) : undefined;
            if (name !== undefined) keep(name, header);
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
          const result = next(
            header === undefined ? input : { ...input, headers: { ...input.headers, [TRACE_HEADER]: header } },
          );
          // Beside whoever waits for it, and before: the result itself goes on as it is. A failure is theirs.
          if (input.activityType === 'openNextTurn' && ofTurns.size > 0) {
            result.then(
              (opened) => learn((opened as OpenNextTurnResult | undefined)?.turn),
              () => undefined,
            );
          }
          return result;
        },
        continueAsNew(input, next) {
          if (ofTurns.size === 0) return next(input);
          const handedOn = [...ofTurns].map(([name, header]) => [PREFIX + name, header] as const);
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

/** What a message's turn is kept by. */
function nameOf(message: unknown): string | undefined {
  const { turnId, admitted } = fieldsOf(message);
  return keyIn(admitted) ?? (typeof turnId === 'string' ? idOf(turnId) : undefined);
}

/** Headers come in no order. Keys of turns grow; a turn whose key is not known yet is newer than those. */
function compareAges(one: string, other: string): number {
  const rank = (name: string): number => Number(name.startsWith(ID));
  return rank(one) - rank(other) || one.length - other.length || (one < other ? -1 : 1);
}

/** No key of a turn looks like it: those are digits. */
function idOf(turnId: string): string {
  return ID + turnId.slice(0, ID_BYTES_MAX);
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
