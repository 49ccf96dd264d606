/**
 * Following users: durable events in order, and in between the live text of the part that is being made. Any number of followers,
 * from any position, over every restart of Postgres and of this process: no gap, no double.
 */
import { InnkeeperError } from '../contracts/errors.js';
import type { EventPosition, TurnDelta, TurnEvent } from '../contracts/events.js';
import { FEED_PAGE_EVENTS } from '../contracts/limits.js';
import { ANSWER_PART } from '../store/deltas.js';
import { readEvents } from '../store/events.js';
import type { Queryable } from '../store/sql.js';
import type { TurnListener } from '../store/turn-listener.js';
import { UserFeed } from './user-feed.js';

/**
 * Where to go on: behind what was heard last (default the beginning of the user's events), behind the last event (`'end'`, with the live
 * text of the moment), or with a turn's first event, the machine's events since then included.
 */
export type FollowFrom = EventPosition | 'end' | { readonly beginningOf: string };

export interface FollowOptions {
  readonly userId: string;
  readonly after?: FollowFrom;
  /** Only what concerns this turn. */
  readonly turnId?: string;
  readonly signal: AbortSignal;
}

export type FeedItem =
  | { readonly position: EventPosition; readonly event: TurnEvent }
  | { readonly position: EventPosition; readonly delta: TurnDelta };

export interface EventFeed {
  /**
   * Everything after a position, then what comes, until the signal ends it.
   * @throws InnkeeperError USER_UNKNOWN, TURN_UNKNOWN, STORE_UNAVAILABLE (at the beginning), INVALID_INPUT (a position that lies ahead);
   *   the signal's reason
   */
  follow(options: FollowOptions): AsyncGenerator<FeedItem, never>;
  /** Users who are being followed here. */
  readonly users: number;
}

export interface EventFeedOptions {
  readonly store: Queryable;
  /** One that hears live text. */
  readonly listener: Pick<TurnListener, 'subscribe' | 'subscribeDeltas'>;
}

interface Shared {
  readonly feed: UserFeed;
  readonly opened: Promise<void>;
  followers: number;
  release(): void;
}

const START: EventPosition = { seq: 0, try: 0, n: 0 };

export function createEventFeed({ store, listener }: EventFeedOptions): EventFeed {
  const feeds = new Map<string, Shared>();

  function share(userId: string): Shared {
    const known = feeds.get(userId);
    if (known !== undefined) {
      known.followers += 1;
      return known;
    }
    const feed = new UserFeed({ userId, store });
    // Subscribed before the first look, so that nothing falls between the two.
    const unsubscribes = [
      listener.subscribe(userId, (notice) => feed.tell(notice)),
      listener.subscribeDeltas(userId, (notice) => feed.tellDeltas(notice)),
    ];
    const shared: Shared = {
      ...{ feed, opened: feed.open(), followers: 1 },
      release() {
        shared.followers -= 1;
        if (shared.followers > 0) return;
        if (feeds.get(userId) === shared) feeds.delete(userId);
        for (const unsubscribe of unsubscribes) unsubscribe();
        feed.close();
      },
    };
    feeds.set(userId, shared);
    // The next follower tries anew.
    shared.opened.catch(() => feeds.get(userId) === shared && feeds.delete(userId));
    return shared;
  }

  /** Events after a position, as far as the feed is: from memory, or where it lies too far back from Postgres. */
  async function eventsAfter(feed: UserFeed, userId: string, seq: number): Promise<readonly TurnEvent[]> {
    const kept = feed.eventsAfter(seq);
    if (kept !== undefined) return kept;
    const page = await readEvents(store, { userId, after: seq, limit: FEED_PAGE_EVENTS });
    return page.filter((event) => event.seq <= feed.seq);
  }

  async function toPosition(feed: UserFeed, userId: string, after: FollowFrom): Promise<EventPosition> {
    if (after === 'end') return { ...START, seq: feed.seq };
    if (!('beginningOf' in after)) return after;
    const [first] = await readEvents(store, { userId, turnId: after.beginningOf, after: 0, limit: 1 });
    if (first === undefined) throw new InnkeeperError('TURN_UNKNOWN', 'This user has no such turn.');
    return { ...START, seq: first.seq - 1 };
  }

  async function* follow(options: FollowOptions): AsyncGenerator<FeedItem, never> {
    const { userId, turnId, signal, after = START } = options;
    const concerns = (item: { readonly turnId: string | null }): boolean =>
      turnId === undefined || item.turnId === turnId;
    const shared = share(userId);
    try {
      await shared.opened;
      const { feed } = shared;
      let position = await toPosition(feed, userId, after);
      // Heard at another process, or just now: this one may not have been told of it yet.
      if (position.seq > feed.seq) await feed.refresh(signal);
      if (position.seq > feed.seq) {
        throw new InnkeeperError('INVALID_INPUT', `The position ${position.seq} lies ahead of the user's last event.`);
      }
      /** The turn of the part that was heard of last; undefined: not known, since the follower came back. */
      let heardOf = turnId;
      for (;;) {
        signal.throwIfAborted();
        const events = await eventsAfter(feed, userId, position.seq);
        for (const event of events) {
          position = behind(position, event, heardOf);
          if (concerns(event)) yield { position, event };
        }
        if (events.length > 0) continue;
        const deltas = feed.deltasAfter(position);
        for (const { step, index: at, turnId: of, body, ...place } of deltas) {
          const index = at === ANSWER_PART ? null : at;
          position = { seq: position.seq, try: place.try, n: place.n };
          heardOf = of;
          if (concerns({ turnId: of })) yield { position, delta: { turnId: of, step, index, body } };
        }
        if (deltas.length === 0) await feed.changed(signal);
      }
    } finally {
      shared.release();
    }
  }

  return {
    follow,
    get users() {
      return feeds.size;
    },
  };
}

/**
 * Where a follower is behind an event: what it has heard of the part that is being made counts until that is complete. Where it is not
 * known whose end a turn's end is, the place stays: it may be of a turn that waited, and the next part begins behind `turn.started`.
 */
function behind(position: EventPosition, { seq, turnId, body }: TurnEvent, heardOf: string | undefined): EventPosition {
  const isPartOver =
    body.type === 'turn.ended'
      ? turnId === heardOf
      : body.type === 'turn.started' || body.type === 'step.answered' || body.type === 'command.ended';
  return isPartOver ? { ...START, seq } : { ...position, seq };
}
