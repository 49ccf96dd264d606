/**
 * Waiting for what is appended: one listening connection per process, made anew whenever it breaks. A notice only says look; the
 * polling beneath finds what a lost notice would have told.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { InnkeeperError } from '../contracts/errors.js';
import { TURN_RESULT_POLL_MS } from '../contracts/limits.js';
import { DELTAS_CHANNEL, type DeltaNotice } from './deltas.js';
import { describeUrl } from './errors.js';
import type { Queryable } from './sql.js';
import { EVENTS_CHANNEL, type EventNotice } from './transaction.js';
import { getTurn, isEnded, type TurnView } from './turns.js';

const CONNECT_MS_MAX = 5_000;
/** Wait before the listening connection is made again: the first time, and at most. */
const RECONNECT_MS_MIN = 50;
const RECONNECT_MS_MAX = 2_000;

/** undefined: notices may have been lost, look for yourself. */
export type NoticeHandler<N = EventNotice> = (notice: N | undefined) => void;

export interface WaitForEndOptions {
  readonly userId: string;
  readonly turnId: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface TurnListener {
  /**
   * Resolves with the turn once it is over. Postgres being away meanwhile is waited out.
   * @throws InnkeeperError RESULT_TIMEOUT, USER_UNKNOWN, TURN_UNKNOWN, STORE_NOT_MIGRATED; the signal's reason when aborted
   */
  waitForEnd(options: WaitForEndOptions): Promise<TurnView>;
  /** Calls back for every notice about the user until the returned function is called. */
  subscribe(userId: string, handler: NoticeHandler): () => void;
  /** The same for live text, which is much more: the connection listens to it from the first call on. */
  subscribeDeltas(userId: string, handler: NoticeHandler<DeltaNotice>): () => void;
  /** Closes the connection; waits under way go on by polling. */
  close(): Promise<void>;
}

export interface TurnListenerOptions {
  readonly url: string;
  /** Where turns are read. */
  readonly store: Queryable;
  /** Default `innkeeper-listener`. */
  readonly applicationName?: string;
}

/** Connects in the background; what is waited for meanwhile is found by polling. @throws InnkeeperError SETTINGS_INVALID */
export function createTurnListener(options: TurnListenerOptions): TurnListener {
  describeUrl(options.url);
  const events = createSubscriptions<EventNotice>();
  const deltas = createSubscriptions<DeltaNotice>();
  const closing = new AbortController();

  function tell(channel: string, payload: string | undefined): void {
    if (channel === EVENTS_CHANNEL) events.tell(parseNotice(payload));
    if (channel === DELTAS_CHANNEL) deltas.tell(parseDeltas(payload));
  }

  const connection = keepListening({ ...options, signal: closing.signal, onNotice: tell });
  connection.listen(EVENTS_CHANNEL);
  const { subscribe } = events;
  return {
    subscribe,
    subscribeDeltas(userId, handler) {
      const unsubscribe = deltas.subscribe(userId, handler);
      connection.listen(DELTAS_CHANNEL);
      return unsubscribe;
    },
    waitForEnd: (wait) => waitForEnd({ store: options.store, subscribe }, wait),
    close: async () => {
      closing.abort();
      await connection.ended;
    },
  };
}

interface Subscriptions<N extends { readonly userId: string }> {
  subscribe(this: void, userId: string, handler: NoticeHandler<N>): () => void;
  /** undefined: everybody is told that notices may have been lost. */
  tell(notice: N | undefined): void;
}

function createSubscriptions<N extends { readonly userId: string }>(): Subscriptions<N> {
  const handlers = new Map<string, Set<NoticeHandler<N>>>();
  return {
    subscribe(userId, handler) {
      const own: NoticeHandler<N> = (notice) => handler(notice);
      const set = handlers.get(userId) ?? new Set();
      handlers.set(userId, set.add(own));
      return () => {
        set.delete(own);
        if (set.size === 0 && handlers.get(userId) === set) handlers.delete(userId);
      };
    },
    tell(notice) {
      const told = notice === undefined ? [...handlers.values()] : [handlers.get(notice.userId) ?? []];
      for (const handler of told.flatMap((set) => [...set])) handler(notice);
    },
  };
}

interface Listening {
  /** From now on, over every connection. */
  listen(channel: string): void;
  readonly ended: Promise<void>;
}

/** `onNotice`: without a payload, notices of the channel may have been lost. */
function keepListening(of: {
  readonly url: string;
  readonly applicationName?: string;
  readonly signal: AbortSignal;
  readonly onNotice: (channel: string, payload: string | undefined) => void;
}): Listening {
  const channels = new Set<string>();
  let current: pg.Client | undefined;

  async function begin(client: pg.Client, channel: string): Promise<void> {
    await client.query(`listen ${channel}`);
    of.onNotice(channel, undefined); // What was told while nobody listened.
  }

  async function keep(): Promise<void> {
    let waitMs = RECONNECT_MS_MIN;
    while (!of.signal.aborted) {
      const client = new pg.Client({
        connectionString: of.url,
        application_name: of.applicationName ?? 'innkeeper-listener',
        connectionTimeoutMillis: CONNECT_MS_MAX,
        keepAlive: true,
      });
      let stop = (): void => undefined;
      const ended = new Promise<void>((resolve) => (stop = resolve));
      client.on('error', stop);
      client.on('end', stop);
      of.signal.addEventListener('abort', stop);
      client.on('notification', ({ channel, payload }) => of.onNotice(channel, payload));
      try {
        await client.connect();
        current = client;
        for (const channel of channels) await begin(client, channel);
        waitMs = RECONNECT_MS_MIN;
        await ended;
      } catch {
        // Postgres is away: waits go on by polling, and the connection is tried again below.
      } finally {
        current = undefined;
        of.signal.removeEventListener('abort', stop);
        await client.end().catch(() => undefined); // Broken already.
      }
      await delay(waitMs, undefined, { signal: of.signal }).catch(() => undefined); // Aborted: the loop ends.
      waitMs = Math.min(waitMs * 2, RECONNECT_MS_MAX);
    }
  }

  return {
    listen(channel) {
      if (channels.has(channel)) return;
      channels.add(channel);
      // Where the connection breaks meanwhile the next one listens to all.
      if (current !== undefined) begin(current, channel).catch(() => undefined);
    },
    ended: keep(),
  };
}

/** Anybody with the right to connect may send on a channel, so nothing in it is believed; undefined then. */
function parseNotice(payload: string | undefined): EventNotice | undefined {
  try {
    const notice = JSON.parse(payload ?? '') as Partial<EventNotice> | null;
    if (typeof notice?.userId !== 'string' || typeof notice.seq !== 'number') return undefined;
    const ended = Array.isArray(notice.ended) ? notice.ended.filter((key) => typeof key === 'string') : null;
    return { userId: notice.userId, seq: notice.seq, ended };
  } catch {
    return undefined; // Not ours; looking once too often does no harm.
  }
}

/** As parseNotice. The bodies are believed as far as their shape goes: what they add to a page is replaced when the part is complete. */
function parseDeltas(payload: string | undefined): DeltaNotice | undefined {
  try {
    const notice = JSON.parse(payload ?? '') as Partial<DeltaNotice> | null;
    const { userId, turnId, turnKey, step, index, try: by, deltas } = notice ?? {};
    const texts = [userId, turnId, turnKey].every((text) => typeof text === 'string');
    const numbers = [step, index, by].every((number) => Number.isSafeInteger(number));
    const isList =
      Array.isArray(deltas) &&
      deltas.every((one) => Number.isSafeInteger(one?.n) && typeof one.body?.type === 'string');
    if (!texts || !numbers || !(deltas === null || isList)) return undefined;
    return notice as DeltaNotice;
  } catch {
    return undefined; // Not ours; looking once too often does no harm.
  }
}

async function waitForEnd(
  parts: { store: Queryable; subscribe: TurnListener['subscribe'] },
  { userId, turnId, timeoutMs, signal }: WaitForEndOptions,
): Promise<TurnView> {
  const deadline = performance.now() + timeoutMs;
  let turnKey: string | undefined;
  let cause: unknown;
  let look = false;
  let wake = (): void => undefined;
  // Subscribed before the first look, so that no end falls between the two.
  const unsubscribe = parts.subscribe(userId, (notice) => {
    const named = notice?.ended;
    if (named && turnKey !== undefined && !named.includes(turnKey)) return;
    look = true;
    wake();
  });
  const onAbort = (): void => wake();
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    for (;;) {
      signal?.throwIfAborted();
      look = false;
      try {
        const turn = await getTurn(parts.store, { userId, turnId });
        if (isEnded(turn)) return turn;
        turnKey = turn.turnKey;
      } catch (error) {
        if (!InnkeeperError.is(error) || error.code !== 'STORE_UNAVAILABLE') throw error;
        cause = error;
      }
      const leftMs = deadline - performance.now();
      if (leftMs <= 0)
        throw new InnkeeperError('RESULT_TIMEOUT', `The turn is not over after ${timeoutMs} ms.`, { cause });
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(TURN_RESULT_POLL_MS, leftMs));
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
        if (look || signal?.aborted === true) wake();
      });
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    unsubscribe();
  }
}
