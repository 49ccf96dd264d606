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
  /** Whole server-sent events; empty: it says nothing of this item. */
  textOf(item: FeedItem): string;
  /** Instead of anything else where the position that was asked for is none of this user's log. */
  readonly resync: string;
}

export interface FollowFor {
  readonly userId: string;
  /** The stream ends with this turn. */
  readonly turnId?: string;
  readonly after: FollowFrom;
  readonly projection: Projection;
}

export interface EventStreams {
  /**
   * Answers a request by a stream, and returns when that has ended.
   * @throws InnkeeperError STREAMS_EXCEEDED, while an error is still an answer
   */
  serve(request: FastifyRequest, reply: FastifyReply, follow: FollowFor): Promise<void>;
  /** The same for a stream about which there is nothing more to say. */
  serveEnd(reply: FastifyReply, text: string): void;
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
  // Kept for another request, it would hold up the end of the gateway for as long as its reader likes.
  connection: 'close',
};
const COMMENT = ':\n\n';

export function createEventStreams({ client, closing, metrics, bounds }: EventStreamsParts): EventStreams {
  const count = createStreamCount(bounds);

  /** Answers why it ended. */
  async function stream(raw: ServerResponse, { projection, ...follow }: FollowFor): Promise<StreamEnd> {
    const gone = new AbortController();
    raw.once('close', () => gone.abort(new Error('the reader is gone')));
    const signal = AbortSignal.any([gone.signal, closing]);
    const heartbeat = setInterval(() => raw.writableNeedDrain || raw.write(COMMENT), bounds.heartbeatMs);
    try {
      raw.write(projection.opening ?? COMMENT);
      for await (const item of client.followEvents({ ...follow, signal })) {
        const text = projection.textOf(item);
        // Pulled one by one: nothing is collected for a reader that is slow.
        if (text !== '' && !raw.write(text))
          await once(raw, 'drain', { signal: AbortSignal.any([signal, AbortSignal.timeout(bounds.stallMs)]) });
        if (follow.turnId !== undefined && 'event' in item && item.event.body.type === 'turn.ended') break;
      }
      raw.end();
      return 'done';
    } catch (error) {
      if (signal.aborted) {
        raw.end();
        return closing.aborted ? 'closing' : 'gone';
      }
      if (InnkeeperError.is(error) && error.code === 'INVALID_INPUT') {
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

  return {
    async serve(request, reply, follow) {
      const release = count.open(follow.userId);
      const noteEnd = metrics?.streamOpened(request);
      let reason: StreamEnd = 'failed';
      try {
        reason = await stream(begin(reply), follow);
      } finally {
        release();
        noteEnd?.(reason);
      }
    },
    serveEnd: (reply, text) => void begin(reply).end(text),
  };
}

function begin(reply: FastifyReply): ServerResponse {
  reply.hijack();
  const { raw } = reply;
  for (const [name, value] of Object.entries({ ...reply.getHeaders(), ...HEADERS })) {
    if (value !== undefined) raw.setHeader(name, value);
  }
  raw.writeHead(200);
  return raw;
}

/** Of a wait that was given up for its time: the reason stands behind the error. */
function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.cause instanceof Error && error.cause.name === 'TimeoutError';
}

/** @throws InnkeeperError STREAMS_EXCEEDED */
function createStreamCount({ max, ofUserMax }: StreamBounds): { open(userId: string): () => void } {
  const ofUsers = new Map<string, number>();
  let all = 0;
  return {
    open(userId) {
      const own = ofUsers.get(userId) ?? 0;
      if (own >= ofUserMax || all >= max) {
        throw new InnkeeperError('STREAMS_EXCEEDED', 'There are too many open event streams.');
      }
      ofUsers.set(userId, own + 1);
      all += 1;
      return () => {
        all -= 1;
        const left = (ofUsers.get(userId) ?? 1) - 1;
        if (left === 0) ofUsers.delete(userId);
        else ofUsers.set(userId, left);
      };
    },
  };
}
