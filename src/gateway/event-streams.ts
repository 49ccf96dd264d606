/**
 * A user's events as a stream of server-sent events, in whatever words a projection gives them. A disconnect is never a cancel.
 * Bounds, heartbeats and readers that are too slow are settled here, for every projection alike.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { FeedItem, FollowFrom, InnkeeperClient } from '../client.js';
import { InnkeeperError } from '../contracts/errors.js';
import type { GatewayMetrics, StreamEnd } from './metrics.js';
import { createPlaces } from './places.js';

export interface StreamBounds {
  /** That this process keeps open, and those of one user among them. */
  readonly max: number;
  readonly ofUserMax: number;
  readonly heartbeatMs: number;
  /** A reader that takes nothing for so long is disconnected. */
  readonly stallMs: number;
}

/** Makes the text of a stream from the event log; one for each stream. */
export interface Projection {
  /** Before the first item. */
  readonly opening?: string;
  /** Whole server-sent events; empty: it says nothing of this item. A promise where it has to ask the record. */
  textOf(item: FeedItem): string | Promise<string>;
  /** For readers who say where they begin: instead of anything else where that lies ahead of this user's log. */
  readonly resync?: string;
  /**
   * For readers who would take any end of the stream for the turn's: last words where the gateway ends before that. Empty: the
   * connection is broken off instead.
   */
  readonly broken?: string;
}

export interface FollowFor {
  readonly userId: string;
  /** The stream ends with this turn, and tells of no other. */
  readonly turnId?: string;
  /** With a turn: what becomes of the machine meanwhile is told too. */
  readonly withMachine?: boolean;
  readonly after: FollowFrom;
  readonly projection: Projection;
}

export interface EventStreams {
  /**
   * Counts a stream that is served elsewhere, until what is answered is called with why it ended.
   * @throws InnkeeperError STREAMS_EXCEEDED
   */
  open(request: FastifyRequest, userId: string): (end: StreamEnd) => void;
  /**
   * Answers a request by a stream, and returns when that has ended, and why.
   * @throws InnkeeperError STREAMS_EXCEEDED, while an error is still an answer
   */
  serve(request: FastifyRequest, reply: FastifyReply, follow: FollowFor): Promise<StreamEnd>;
  /** The same for a stream that has nothing more to tell. */
  serveEnd(reply: FastifyReply): void;
}

export interface EventStreamsParts {
  readonly client: InnkeeperClient;
  readonly closing: AbortSignal;
  readonly metrics?: GatewayMetrics | undefined;
  readonly bounds: StreamBounds;
}

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // For proxies that would collect it first.
  'x-accel-buffering': 'no',
};
/** Kept for another request, a connection would hold up the end of the gateway for as long as its reader likes. */
const CLOSING = { connection: 'close' };
const COMMENT = ':\n\n';

export function createEventStreams({ client, closing, metrics, bounds }: EventStreamsParts): EventStreams {
  const places = createPlaces({ ...bounds, full: ['STREAMS_EXCEEDED', 'There are too many open event streams.'] });

  /** Answers why it ended. */
  async function stream(raw: ServerResponse, { projection, withMachine, ...follow }: FollowFor): Promise<StreamEnd> {
    const gone = new AbortController();
    const leave = (): void => gone.abort(new Error('the reader is gone'));
    raw.once('close', leave);
    // While its turn was being submitted.
    if (raw.destroyed) leave();
    const signal = AbortSignal.any([gone.signal, closing]);
    const heartbeat = setInterval(() => raw.writableNeedDrain || raw.write(COMMENT), bounds.heartbeatMs);
    try {
      raw.write(projection.opening ?? COMMENT);
      const { turnId, ...ofUser } = follow;
      for await (const item of client.followEvents({ ...(withMachine === true ? ofUser : follow), signal })) {
        const of = turnOf(item);
        if (turnId !== undefined && of !== null && of !== turnId) continue;
        const text = await projection.textOf(item);
        // Pulled one by one: nothing is collected for a reader that is slow.
        if (text !== '' && !raw.write(text))
          await once(raw, 'drain', { signal: AbortSignal.any([signal, AbortSignal.timeout(bounds.stallMs)]) });
        if (turnId !== undefined && 'event' in item && item.event.body.type === 'turn.ended') break;
      }
      raw.end();
      return 'done';
    } catch (error) {
      if (signal.aborted) {
        if (projection.broken === '') raw.destroy();
        else raw.end(closing.aborted ? (projection.broken ?? '') : '');
        return closing.aborted ? 'closing' : 'gone';
      }
      if (projection.resync !== undefined && InnkeeperError.is(error) && error.code === 'INVALID_INPUT') {
        raw.end(projection.resync);
        return 'resync';
      }
      // A reader that stalls, or a Postgres that is away as it begins: it comes back with its last id.
      raw.destroy();
      return isTimeout(error) ? 'stalled' : 'failed';
    } finally {
      clearInterval(heartbeat);
    }
  }

  function open(request: FastifyRequest, userId: string): (end: StreamEnd) => void {
    const release = places.take(userId);
    const noteEnd = metrics?.streamOpened(request);
    return (end) => {
      release();
      noteEnd?.(end);
    };
  }

  return {
    open,
    async serve(request, reply, follow) {
      const noteEnd = open(request, follow.userId);
      let reason: StreamEnd = 'failed';
      try {
        // On a connection that is to close, Node's own fetch takes a break for the end.
        reason = await stream(begin(reply, follow.projection.broken === undefined ? CLOSING : {}), follow);
      } finally {
        noteEnd(reason);
      }
      return reason;
    },
    serveEnd: (reply) => void begin(reply, CLOSING).end(),
  };
}

function begin(reply: FastifyReply, more: { readonly connection?: string }): ServerResponse {
  reply.hijack();
  const { raw } = reply;
  for (const [name, value] of Object.entries({ ...reply.getHeaders(), ...HEADERS, ...more })) {
    if (value !== undefined) raw.setHeader(name, value);
  }
  raw.writeHead(200);
  return raw;
}

/** null: an event of the machine. */
const turnOf = (item: FeedItem): string | null => ('event' in item ? item.event : item.delta).turnId;

/** Of a wait that was given up for its time: the reason stands behind the error. */
function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.cause instanceof Error && error.cause.name === 'TimeoutError';
}
