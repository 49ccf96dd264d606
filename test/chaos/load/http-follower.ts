/** Followers of the event log over HTTP, as a page is one: cut off on purpose, resumed with the last id at another replica. */
import { follow, type Sent } from '../../support/event-stream.js';
import type { Gateways } from '../gateways.js';
import type { Rig } from '../rig.js';
import { within } from '../surely.js';
import { hashOf, readEvents, type EventReader, type SeenEvent } from './event-reader.js';

/** From the last event's commit to a follower, every repeat included. */
const CATCH_UP_MS_MAX = 60_000;

export interface HttpFollower extends EventReader {
  /** Breaks the connection that it reads. False: it has none. */
  cut(): boolean;
}

export function followOverHttp(rig: Rig, { urls, key }: Gateways, userId: string): HttpFollower {
  const seen: SeenEvent[] = [];
  const faults: string[] = [];
  const over = new AbortController();
  let lastLive = { part: '', n: 0 };

  function take({ id, event, data }: Sent): void {
    const { seq, turnId: _turnId, at: _at, ...body } = data;
    if (typeof seq === 'number') {
      if (seq !== seen.length + 1)
        faults.push(`${userId}: event ${seq} came over HTTP where ${seen.length + 1} was due`);
      seen.push({ seq, hash: hashOf(body) });
      return;
    }
    // Live text: what it says is void or folded in the end; within a try it never comes twice.
    const [after = '', attempt = '', n = ''] = id.split(':');
    const part = [after, data['turnId'], data['step'], data['index'], attempt].join(' ');
    if (part === lastLive.part && Number(n) <= lastLive.n && event !== 'part.resync') {
      faults.push(`${userId}: live text ${id} came over HTTP after ${lastLive.n}`);
    }
    lastLive = { part, n: Number(n) };
  }

  const follower = follow({
    gateways: urls,
    path: `/v1/users/${userId}/events`,
    key,
    onEvent: take,
    isLast: () => false,
    signal: over.signal,
  });
  follower.ended.catch(() => undefined); // Ended by `finish`.
  return {
    userId,
    seen,
    faults,
    get resumes() {
      return follower.connections();
    },
    cut: follower.cut,
    async finish() {
      const log = await readEvents(rig, userId, 0, Number.MAX_SAFE_INTEGER);
      await within(CATCH_UP_MS_MAX, () => Promise.resolve(seen.length >= log.length));
      over.abort();
    },
  };
}
