/**
 * Which turn a request means that brings no id of its own. The same request while its turn is open is that turn, however often it
 * comes; a client's own retry also finds a turn again that has just ended. Whoever asks at the same time chooses the same id, and
 * admission makes one turn of it: there is nothing to lock.
 */
import { createHash } from 'node:crypto';
import { requestTurnId } from '../contracts/ids.js';
import { RETRY_JOINS_MS_MAX } from '../contracts/limits.js';
import { latestTurnOf } from '../store/repeats.js';
import type { Queryable } from '../store/sql.js';

export interface ChatRequest {
  readonly userId: string;
  readonly route: string;
  readonly body: unknown;
  /** The client says that it sends the request again. */
  readonly isRetry: boolean;
}

export async function turnIdOf(store: Queryable, { userId, route, body, isRetry }: ChatRequest): Promise<string> {
  const digest = createHash('sha256')
    .update(JSON.stringify([route, userId, body]))
    .digest('base64url');
  const latest = await latestTurnOf(store, { userId, digest });
  if (latest === undefined) return requestTurnId({ digest, n: 0 });
  const { n, endedMsAgo } = latest;
  const joins = endedMsAgo === null || (isRetry && endedMsAgo <= RETRY_JOINS_MS_MAX);
  return requestTurnId({ digest, n: joins ? n : n + 1 });
}
