/**
 * Following a user's events over every break of the connection: it goes on behind the last id that was heard, after a pause that
 * grows. A connection that says nothing, not even a heartbeat, counts as broken.
 */
import { STREAM_HEARTBEAT_MS } from '../../src/contracts/limits.js';
import { readEvents } from './event-stream.js';
import { asProblem, type Problem } from './http.js';

const SILENCE_MS_MAX = 2.5 * STREAM_HEARTBEAT_MS;
const PAUSE_MS_MIN = 500;
const PAUSE_MS_MAX = 15_000;
/** A connection that held for so long is no failure. */
const STEADY_MS = 5_000;

export type Connection =
  | { readonly state: 'connecting' }
  | { readonly state: 'live' }
  /** Broken; it is tried again at `untilMs` (ms since the epoch). */
  | { readonly state: 'broken'; readonly untilMs: number; readonly problem: Problem };

export interface FollowOptions {
  open(after: string, signal: AbortSignal): Promise<Response>;
  /** Id to begin behind. */
  readonly after: string;
  /** `data` is parsed JSON. Throws: this stream cannot be gone on with. */
  onEvent(data: unknown): void;
  onConnection(connection: Connection): void;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** What ends a pause early. */
  readonly hurry: Hurry;
  readonly silenceMsMax?: number;
}

/** `resync`: the place is not known any more, read everything anew; `unknown_user`; `stopped`: by the signal. */
export type FollowEnd = 'resync' | 'unknown_user' | 'stopped';

/** What somebody who waits can be woken by. */
export interface Hurry {
  now(): void;
  wait(ms: number, signal: AbortSignal): Promise<void>;
}

export function createHurry(): Hurry {
  const waiting = new Set<() => void>();
  return {
    now: () => waiting.forEach((wake) => wake()),
    wait: (ms, signal) =>
      new Promise((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          waiting.delete(wake);
          signal.removeEventListener('abort', wake);
          resolve();
        };
        const timer = setTimeout(wake, ms);
        waiting.add(wake);
        signal.addEventListener('abort', wake, { once: true });
        if (signal.aborted) wake();
      }),
  };
}

/** With jitter, so that readers who lost the same gateway do not come back at once. */
export function pauseMs(failures: number, random: () => number = Math.random): number {
  const full = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** Math.min(failures, 10));
  return full / 2 + (full / 2) * random();
}

/** Rejects with a Problem that repeating would not mend. */
export async function follow(options: FollowOptions): Promise<FollowEnd> {
  const { signal, hurry, onConnection } = options;
  let { after } = options;
  let failures = 0;
  while (!signal.aborted) {
    const startedMs = Date.now();
    onConnection({ state: 'connecting' });
    const end = await connect({ ...options, after, onPlace: (id) => (after = id) });
    if (signal.aborted) break;
    if (end === 'resync') return 'resync';
    if (end.status === 404) return 'unknown_user';
    if (end.code === 'INVALID_INPUT') return 'resync';
    if (!isPassing(end)) throw end;
    failures = Date.now() - startedMs > STEADY_MS ? 0 : failures + 1;
    const ms = Math.max(end.retryAfterMs, pauseMs(failures));
    onConnection({ state: 'broken', untilMs: Date.now() + ms, problem: end });
    await hurry.wait(ms, signal);
  }
  return 'stopped';
}

function isPassing({ status }: Problem): boolean {
  return status === 0 || status === 408 || status === 429 || status >= 500;
}

/** One connection to its end; never rejects. */
async function connect(options: FollowOptions & { onPlace(id: string): void }): Promise<'resync' | Problem> {
  const own = new AbortController();
  let watch: ReturnType<typeof setTimeout> | undefined;
  const onSign = (): void => {
    clearTimeout(watch);
    watch = setTimeout(() => own.abort(new Error('silence')), options.silenceMsMax ?? SILENCE_MS_MAX);
  };
  let isResync = false;
  try {
    onSign();
    const response = await options.open(options.after, AbortSignal.any([options.signal, own.signal]));
    if (response.body === null) throw new Error('the stream has no body');
    options.onConnection({ state: 'live' });
    await readEvents(response.body, {
      onSign,
      onEvent: ({ id, type, data }) => {
        if (isResync) return;
        isResync = type === 'resync' || !isTaken(options, data);
        if (isResync) own.abort(new Error('resync'));
        else if (id !== undefined) options.onPlace(id);
      },
    });
    return isResync ? 'resync' : asProblem(undefined);
  } catch (reason) {
    return isResync ? 'resync' : asProblem(reason);
  } finally {
    clearTimeout(watch);
    own.abort(new Error('over'));
  }
}

function isTaken({ onEvent }: FollowOptions, data: string): boolean {
  try {
    onEvent(JSON.parse(data));
    return true;
  } catch {
    return false; // No JSON, or nothing that goes on from what is known: everything is read anew.
  }
}
