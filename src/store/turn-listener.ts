/**
 * Waiting for what is appended: one listening connection per process, made anew whenever it breaks. A notice only says look; the
 * polling beneath finds what a lost notice would have told.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { InnkeeperError } from '../contracts/errors.js';
import { TURN_RESULT_POLL_MS } from '../contracts/limits.js';
import { describeUrl } from './errors.js';
import type { Queryable } from './sql.js';
import { EVENTS_CHANNEL, type EventNotice } from './transaction.js';
import { getTurn, isEnded, type TurnView } from './turns.js';

const CONNECT_MS_MAX = 5_000;
/** Wait before the listening connection is made again: the first time, and at most. */
const RECONNECT_MS_MIN = 50;
const RECONNECT_MS_MAX = 2_000;

/** undefined: notices may have been lost, look for yourself. */
export type NoticeHandler = (notice: EventNotice | undefined) => void;

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
  const handlers = new Map<string, Set<NoticeHandler>>();
  const closing = new AbortController();

  function tell(notice: EventNotice | undefined): void {
    const told =
      notice === undefined ? [...handlers.values()] : [handlers.get(notice.userId) ?? new Set<NoticeHandler>()];
    for (const handler of told.flatMap((set) => [...set])) handler(notice);
  }

  function subscribe(userId: string, handler: NoticeHandler): () => void {
    const own: NoticeHandler = (notice) => handler(notice);
    const set = handlers.get(userId) ?? new Set();
    handlers.set(userId, set.add(own));
    return () => {
      set.delete(own);
      if (set.size === 0 && handlers.get(userId) === set) handlers.delete(userId);
    };
  }

  const listening = keepListening({ ...options, signal: closing.signal, onNotice: tell });
  return {
    subscribe,
    waitForEnd: (wait) => waitForEnd({ store: options.store, subscribe }, wait),
    close: async () => {
      closing.abort();
      await listening;
    },
  };
}

async function keepListening(of: {
  readonly url: string;
  readonly applicationName?: string;
  readonly signal: AbortSignal;
  readonly onNotice: NoticeHandler;
}): Promise<void> {
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
    client.on('notification', ({ channel, payload }) => {
      if (channel === EVENTS_CHANNEL) of.onNotice(parseNotice(payload));
    });
    try {
      await client.connect();
      await client.query(`listen ${EVENTS_CHANNEL}`);
      waitMs = RECONNECT_MS_MIN;
      of.onNotice(undefined); // What was told while nobody listened.
      await ended;
    } catch {
      // Postgres is away: waits go on by polling, and the connection is tried again below.
    } finally {
      of.signal.removeEventListener('abort', stop);
      await client.end().catch(() => undefined); // Broken already.
    }
    await delay(waitMs, undefined, { signal: of.signal }).catch(() => undefined); // Aborted: the loop ends.
    waitMs = Math.min(waitMs * 2, RECONNECT_MS_MAX);
  }
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
