/**
 * Innkeeper for backends: submit turns, read results, cancel, and steer a user's machine. It needs a Temporal address and a
 * Postgres URL (the role `innkeeper_client` suffices). Every verb commits its intent to Postgres first; the signal only says look.
 */
import { setMaxListeners } from 'node:events';
import { Client, Connection, type ConnectionOptions } from '@temporalio/client';
import { toGivenTurn } from './client/given-turn.js';
import { createLanes } from './client/lanes.js';
import { traceSignals } from './client/trace-signals.js';
import { InnkeeperError } from './contracts/errors.js';
import { parseTurnId, parseUserId, TASK_QUEUE_DEFAULT, utf8Bytes } from './contracts/ids.js';
import {
  IDLE_MS_MAX,
  IDLE_MS_MIN,
  OPEN_TURNS_MAX_DEFAULT,
  PROMPT_BYTES_MAX,
  TURN_RESULT_WAIT_MS_DEFAULT,
} from './contracts/limits.js';
import { cancelTurn, destroy, enqueueTurn, messageOf, sleepNow, wakeNow } from './contracts/messages.js';
import { createEventFeed, type EventFeed, type FeedItem, type FollowFrom } from './client/event-feed.js';
import type { ToolCall } from './contracts/tools.js';
import { admitTurn, requestCancel, type AdmitTurnInput } from './store/admission.js';
import { workflowIdOf } from './store/lane-ids.js';
import { createPool, type Store } from './store/pool.js';
import { createTurnListener, type TurnListener } from './store/turn-listener.js';
import { getTurn, type TurnOrigin, type TurnView } from './store/turns.js';
import { createUser, destroyedUser, getUser, requestDestroy, type UserView } from './store/users.js';
import { inSpan, type SpanOptions } from './telemetry/spans.js';

export { InnkeeperError } from './contracts/errors.js';
export type { EventPosition, TurnDelta, TurnEvent } from './contracts/events.js';
export { formatPosition, parsePosition } from './contracts/events.js';
export type { ToolCall } from './contracts/tools.js';
export type { FeedItem, FollowFrom } from './client/event-feed.js';
export type { TurnView } from './store/turns.js';
export type { UserView } from './store/users.js';

export interface ClientOptions {
  readonly temporal: {
    /** host:port */
    readonly address: string;
    readonly namespace?: string;
    readonly taskQueue?: string;
    readonly apiKey?: string;
    readonly tls?: ConnectionOptions['tls'];
  };
  readonly database: { readonly url: string; readonly poolMax?: number };
  /** Set where the deployment hides user ids in workflow ids: the same key as the workers'. */
  readonly workflowIdKey?: string;
  /** Open turns of one user, the running one included; default 20. */
  readonly openTurnsMax?: number;
}

export interface SubmittedTurn {
  readonly turnId: string;
  /** Place in the user's order, from 1. */
  readonly position: number;
  readonly state: TurnView['state'];
  /** False: this id was submitted before, with the same prompt or call. */
  readonly isNew: boolean;
}

export interface UserRef {
  readonly userId: string;
}
export interface TurnRef extends UserRef {
  readonly turnId: string;
}

const REACH_MS_MAX = 2_000;

export interface InnkeeperClient {
  /**
   * Stores the turn and tells the user's lane. Creates an unknown user. Repeat it with the same id as often as you like.
   * @param turn `turnId` chosen by you, unique per user; `prompt` 1 byte to 64 KiB of UTF-8
   * @throws InnkeeperError INVALID_USER_ID, INVALID_TURN_ID, PROMPT_EMPTY, PROMPT_TOO_LARGE (before any network);
   *   TURN_ID_REUSED, QUEUE_FULL, USER_DESTROYED (nothing stored); STORE_UNAVAILABLE; LANE_UNREACHABLE (stored: repeat)
   */
  submitTurn(turn: TurnRef & { readonly prompt: string }): Promise<SubmittedTurn>;
  /**
   * Runs one tool on the machine, as a turn that is this call alone: in the user's order, at most once, in the transcript, and no
   * model is asked. Its output is in the event log (`command.ended`). Repeat it with the same id as often as you like.
   * @param turn `origin`: which way it came in, which the transcript says; default `backend`
   * @throws InnkeeperError as submitTurn; INVALID_INPUT where the tool does not take the arguments (before any network)
   */
  runTool(turn: TurnRef & ToolCall & { readonly origin?: TurnOrigin }): Promise<SubmittedTurn>;
  /**
   * Waits until the turn is over and answers it, whatever its outcome. Postgres being away meanwhile is waited out.
   * @throws InnkeeperError RESULT_TIMEOUT after `timeoutMs` (default 35 min) or at `close`, TURN_UNKNOWN, USER_UNKNOWN; the signal's
   *   reason when aborted
   */
  turnResult(turn: TurnRef & { readonly timeoutMs?: number; readonly signal?: AbortSignal }): Promise<TurnView>;
  /**
   * Everything that happened to the user after a position, then what happens, live text included, until the signal ends it. Resume with
   * the position of the last item: nothing is missed, nothing comes twice. Postgres being away meanwhile is waited out.
   * @param options `turnId` leaves out other turns and the machine
   * @throws InnkeeperError USER_UNKNOWN, TURN_UNKNOWN, INVALID_INPUT (a position that lies ahead); the signal's reason
   */
  followEvents(
    options: UserRef & { readonly after?: FollowFrom; readonly turnId?: string; readonly signal?: AbortSignal },
  ): AsyncIterable<FeedItem>;
  /** The turn as it stands. @throws InnkeeperError TURN_UNKNOWN, USER_UNKNOWN */
  getTurn(turn: TurnRef): Promise<TurnView>;
  /** Ends one turn, waiting or running; the queue stays. Answers the state found. @throws InnkeeperError TURN_UNKNOWN, USER_UNKNOWN */
  cancelTurn(turn: TurnRef): Promise<{ readonly state: TurnView['state'] }>;
  /**
   * Creates the user without a message; a destroyed one anew. An active user stays as it is.
   * @param user `idleMs` overrides the deployment's idle time. @throws InnkeeperError USER_DESTROYED while it is being destroyed
   */
  createUser(user: UserRef & { readonly idleMs?: number }): Promise<{ readonly created: boolean }>;
  /** @throws InnkeeperError USER_UNKNOWN */
  getUser(user: UserRef): Promise<UserView>;
  /** Asks for sleep as soon as no turn is open. Lapses when a turn is submitted after it. @throws InnkeeperError USER_UNKNOWN, USER_DESTROYED */
  sleepNow(user: UserRef): Promise<void>;
  /** Wakes the machine (creates it where there is none) and restarts its idle time. @throws InnkeeperError USER_UNKNOWN, USER_DESTROYED */
  wakeNow(user: UserRef): Promise<void>;
  /** Deletes the user's machine for good; open turns end as USER_DESTROYED. @throws InnkeeperError USER_UNKNOWN */
  destroyUser(user: UserRef): Promise<void>;
  /** Whether Temporal answers now, within two seconds; for a readiness check. */
  isTemporalReachable(): Promise<boolean>;
  close(): Promise<void>;
}

/** Connects to Temporal lazily: a client can be made while Temporal is away. @throws InnkeeperError never before the first verb */
export function createClient(options: ClientOptions): InnkeeperClient {
  const { temporal } = options;
  const store: Store = createPool({
    url: options.database.url,
    poolMax: options.database.poolMax ?? 10,
    applicationName: 'innkeeper-client',
  });
  const connection = Connection.lazy({
    address: temporal.address,
    ...(temporal.apiKey === undefined ? {} : { apiKey: temporal.apiKey }),
    ...(temporal.tls === undefined ? {} : { tls: temporal.tls }),
  });
  const { tell } = createLanes({
    client: new Client({
      connection,
      namespace: temporal.namespace ?? 'default',
      interceptors: { workflow: [traceSignals] },
    }),
    taskQueue: temporal.taskQueue ?? TASK_QUEUE_DEFAULT,
  });
  let listener: TurnListener | undefined;
  let feed: EventFeed | undefined;
  const closing = new AbortController();
  setMaxListeners(0, closing.signal); // One for each result that is waited for: many are no leak.

  const listen = (): TurnListener => (listener ??= createTurnListener({ store, url: options.database.url }));
  const laneOf = (userId: string): string => workflowIdOf(userId, options.workflowIdKey);

  /** Lane of a user who may be asked for something. */
  async function activeLane(userId: string): Promise<string> {
    const { state, workflowId } = await getUser(store, parseUserId(userId));
    if (state !== 'active') throw destroyedUser(state);
    return workflowId;
  }

  async function submit(turn: TurnRef & Pick<AdmitTurnInput, 'prompt' | 'given'>): Promise<SubmittedTurn> {
    const { turnId } = turn;
    const admitted = await admitTurn(store, {
      ...turn,
      workflowId: laneOf(turn.userId),
      openTurnsMax: options.openTurnsMax ?? OPEN_TURNS_MAX_DEFAULT,
    });
    const { turnKey, position, state, isNew, workflowId } = admitted;
    // A repeated turn that is still open is signalled again: the first signal may have been lost.
    if (state === 'queued' || state === 'running') {
      const admission = state === 'queued' ? { admitted: { turnKey, position } } : {};
      await tell(workflowId, messageOf(enqueueTurn, { turnId, ...admission }));
    }
    return { turnId, position, state, isNew };
  }

  const verbs: InnkeeperClient = {
    async submitTurn({ userId, turnId, prompt }) {
      parseUserId(userId);
      parseTurnId(turnId);
      assertPrompt(prompt);
      return submit({ userId, turnId, prompt });
    },
    async runTool({ userId, turnId, tool, arguments: values, origin = 'backend' }) {
      parseUserId(userId);
      parseTurnId(turnId);
      return submit({ userId, turnId, ...toGivenTurn(tool, values, origin) });
    },
    async turnResult({ userId, turnId, timeoutMs = TURN_RESULT_WAIT_MS_DEFAULT, signal }) {
      parseUserId(userId);
      parseTurnId(turnId);
      if (!(Number.isFinite(timeoutMs) && timeoutMs >= 0)) {
        throw new InnkeeperError('INVALID_INPUT', 'timeoutMs must be a number of milliseconds from 0.');
      }
      const { waitForEnd } = listen();
      return withEither(closing.signal, signal, (either) => waitForEnd({ userId, turnId, timeoutMs, signal: either }));
    },
    async *followEvents({ userId, turnId, after, signal }) {
      parseUserId(userId);
      if (turnId !== undefined) parseTurnId(turnId);
      feed ??= createEventFeed({ store, listener: listen() });
      const either = signal === undefined ? closing.signal : AbortSignal.any([closing.signal, signal]);
      const of = { userId, signal: either, ...(turnId === undefined ? {} : { turnId }) };
      yield* feed.follow(after === undefined ? of : { ...of, after });
    },
    async getTurn({ userId, turnId }) {
      return getTurn(store, { userId: parseUserId(userId), turnId: parseTurnId(turnId) });
    },
    async cancelTurn({ userId, turnId }) {
      const turn = { userId: parseUserId(userId), turnId: parseTurnId(turnId) };
      const { state, workflowId } = await requestCancel(store, turn);
      if (state === 'running') await tell(workflowId, messageOf(cancelTurn, { turnId }));
      return { state };
    },
    async createUser({ userId, idleMs }) {
      parseUserId(userId);
      if (idleMs !== undefined && !(Number.isSafeInteger(idleMs) && idleMs >= IDLE_MS_MIN && idleMs <= IDLE_MS_MAX)) {
        throw new InnkeeperError(
          'INVALID_INPUT',
          `idleMs must be a whole number from ${IDLE_MS_MIN} to ${IDLE_MS_MAX}.`,
        );
      }
      return createUser(store, { userId, workflowId: laneOf(userId), ...(idleMs === undefined ? {} : { idleMs }) });
    },
    async getUser({ userId }) {
      return getUser(store, parseUserId(userId));
    },
    async sleepNow({ userId }) {
      await tell(await activeLane(userId), messageOf(sleepNow));
    },
    async wakeNow({ userId }) {
      await tell(await activeLane(userId), messageOf(wakeNow));
    },
    async destroyUser({ userId }) {
      const { state, workflowId } = await requestDestroy(store, parseUserId(userId));
      if (state === 'destroying') await tell(workflowId, messageOf(destroy));
    },
    async isTemporalReachable() {
      const asked = connection.withDeadline(Date.now() + REACH_MS_MAX, () =>
        connection.workflowService.getSystemInfo({}),
      );
      return asked.then(
        () => true,
        () => false,
      );
    },
    async close() {
      closing.abort(new InnkeeperError('RESULT_TIMEOUT', 'The client was closed before the turn was over.'));
      await listener?.close();
      await connection.close();
      await store.end();
    },
  };
  return {
    ...verbs,
    submitTurn: async (turn) => inSpan('client.submitTurn', aboutTurn(turn), () => verbs.submitTurn(turn)),
    runTool: async (turn) => inSpan('client.runTool', aboutTurn(turn), () => verbs.runTool(turn)),
    cancelTurn: async (turn) => inSpan('client.cancelTurn', aboutTurn(turn), () => verbs.cancelTurn(turn)),
  };
}

/** The one id that a span carries. */
function aboutTurn({ turnId }: TurnRef): SpanOptions {
  return { attributes: { 'innkeeper.turn_id': turnId } };
}

/** Calls `work` with a signal that aborts with either of two; leaves no listener on them. */
async function withEither<T>(
  one: AbortSignal,
  other: AbortSignal | undefined,
  work: (either: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const sources = other === undefined ? [one] : [one, other];
  const onAbort = (event: Event): void => controller.abort((event.target as AbortSignal).reason);
  for (const source of sources) {
    if (source.aborted) controller.abort(source.reason);
    source.addEventListener('abort', onAbort, { once: true });
  }
  try {
    return await work(controller.signal);
  } finally {
    for (const source of sources) source.removeEventListener('abort', onAbort);
  }
}

function assertPrompt(prompt: unknown): asserts prompt is string {
  if (typeof prompt !== 'string') throw new InnkeeperError('INVALID_INPUT', 'The prompt must be text.');
  if (prompt.trim() === '') throw new InnkeeperError('PROMPT_EMPTY', 'The prompt is empty.');
  const bytes = utf8Bytes(prompt);
  if (bytes > PROMPT_BYTES_MAX) {
    throw new InnkeeperError(
      'PROMPT_TOO_LARGE',
      `The prompt has ${bytes} bytes; at most ${PROMPT_BYTES_MAX} are taken.`,
    );
  }
}
