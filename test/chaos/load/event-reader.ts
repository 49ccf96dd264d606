/**
 * Readers of the event log, as a chat page reads it: in pages, broken off at random, resumed from the last number they have, or from an
 * earlier one. What they were handed is kept, to be compared with the log at the end.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { createHash } from 'node:crypto';
import type { Random } from '../plan/random.js';
import type { Rig } from '../rig.js';

const POLL_MS = 1_000;
const PAGE_MAX = 12;
const RESUMED_EARLIER = 0.1;
/** Events that a resumed reader asks for once more at most. */
const EARLIER_MAX = 5;

export interface SeenEvent {
  readonly seq: number;
  readonly hash: string;
}

export interface EventReader {
  readonly userId: string;
  /** By number, as first handed over. */
  readonly seen: readonly SeenEvent[];
  /** Gaps, doubles, wrong order, and events that were another one when they came again. */
  readonly faults: readonly string[];
  readonly resumes: number;
  /** Reads what is left, and ends. */
  finish(): Promise<void>;
}

interface EventRow {
  readonly seq: string;
  readonly body: object;
}

/** Of an event's body, whatever the order of its fields. */
export function hashOf(body: object): string {
  const sorted = JSON.stringify(body, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1)))
      : value,
  );
  return createHash('sha256').update(sorted).digest('hex').slice(0, 16);
}

export async function readEvents(rig: Rig, userId: string, after: number, limit: number): Promise<SeenEvent[]> {
  const rows = await rig.sql<EventRow>(
    `select seq::text as seq, body from turn_events
     where user_id = $1 and turn_events.seq > $2 order by turn_events.seq limit $3`,
    [userId, after, limit],
  );
  return rows.map(({ seq, body }) => ({ seq: Number(seq), hash: hashOf(body) }));
}

export function followEvents(rig: Rig, userId: string, random: Random): EventReader {
  const seen: SeenEvent[] = [];
  const faults: string[] = [];
  let resumes = 0;
  let isOver = false;

  /** @returns how many came that were new */
  async function readPage(after: number): Promise<number> {
    const page = await readEvents(rig, userId, after, random.whole(1, PAGE_MAX));
    let expected = after;
    const before = seen.length;
    for (const event of page) {
      expected += 1;
      if (event.seq !== expected) faults.push(`${userId}: event ${event.seq} came where ${expected} was due`);
      const known = seen[event.seq - 1];
      if (known === undefined) seen.push(event);
      else if (known.hash !== event.hash) faults.push(`${userId}: event ${event.seq} is not what it was`);
    }
    return seen.length - before;
  }

  async function follow(): Promise<void> {
    while (!isOver) {
      const last = seen.length;
      const isEarlier = random.chance(RESUMED_EARLIER);
      resumes += 1;
      await readPage(isEarlier ? Math.max(0, last - random.whole(1, EARLIER_MAX)) : last);
      await delay(POLL_MS);
    }
  }
  const following = follow();
  following.catch((error: unknown) => faults.push(`${userId}: ${String(error)}`));
  return {
    userId,
    seen,
    faults,
    get resumes() {
      return resumes;
    },
    async finish() {
      isOver = true;
      await following.catch(() => undefined); // Among the faults already.
      while ((await readPage(seen.length)) > 0) resumes += 1;
    },
  };
}
