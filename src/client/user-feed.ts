/**
 * One user's events and live text, kept up to date for all followers of this process: one reader of Postgres, however many they are.
 * Followers look into it whenever they can take more, so nothing is queued for any of them.
 */
import type { EventPosition, TurnEvent } from '../contracts/events.js';
import { FEED_EVENTS_MAX, FEED_LOOK_MS, FEED_PAGE_EVENTS } from '../contracts/limits.js';
import { readEventHead, type DeltaNotice, type StoredDelta } from '../store/deltas.js';
import { readEvents } from '../store/events.js';
import type { Queryable } from '../store/sql.js';
import type { EventNotice } from '../store/transaction.js';
import { unknownUser } from '../store/users.js';
import { foldedBy, nameOf } from './folding.js';
import { LivePart, type PartName, type PlacedBody } from './live-part.js';

/** Pause after an error of Postgres. */
const RETRY_MS = 500;
/** Names of parts that are complete, whose live text may still come: a few of the last are enough. */
const FOLDED_MAX = 32;

export interface LiveDelta extends PlacedBody, PartName {}

export interface UserFeedOptions {
  readonly userId: string;
  readonly store: Queryable;
}

export class UserFeed {
  readonly #options: UserFeedOptions;
  /** The last events, without gaps up to `#seq`. */
  #events: TurnEvent[] = [];
  #seq = 0;
  #part: LivePart | undefined;
  readonly #folded: string[] = [];
  /** Highest sequence that was told of. */
  #told = 0;
  readonly #deltas: StoredDelta[] = [];
  /** Something may have been missed: Postgres is asked for the end of everything. */
  #mustLook = true;
  /** Looks that were begun, and the last one that was brought to its end. */
  #looks = 0;
  #looked = 0;
  #isOpen = false;
  #isPumping = false;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;
  #wake = (): void => undefined;
  readonly #waiting = new Set<() => void>();

  constructor(options: UserFeedOptions) {
    this.#options = options;
  }

  /** Of the last event that is known here. */
  get seq(): number {
    return this.#seq;
  }

  /** Reads where the user's events end. @throws InnkeeperError USER_UNKNOWN, STORE_UNAVAILABLE */
  async open(): Promise<void> {
    await this.#look();
    this.#isOpen = true;
    this.#timer = setInterval(() => this.missed(), FEED_LOOK_MS);
    this.#pump();
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#wake();
    this.#change();
  }

  tell(notice: EventNotice | undefined): void {
    if (notice === undefined) return this.missed();
    this.#told = Math.max(this.#told, notice.seq);
    this.#pump();
  }

  tellDeltas(notice: DeltaNotice | undefined): void {
    if (notice?.deltas === undefined || notice.deltas === null) return this.missed();
    const { turnKey, turnId, step, index, deltas } = notice;
    for (const { n, body } of deltas) this.#deltas.push({ turnKey, turnId, step, index, try: notice.try, n, body });
    this.#pump();
  }

  missed(): void {
    this.#mustLook = true;
    this.#pump();
  }

  /** Resolves once all is in here that Postgres has now. */
  async refresh(signal: AbortSignal): Promise<void> {
    const due = this.#looks + 1;
    this.missed();
    while (this.#looked < due && !this.#isClosed) await this.changed(signal);
  }

  /** Events after `seq`, oldest first; undefined: they are no longer kept here. */
  eventsAfter(seq: number): readonly TurnEvent[] | undefined {
    if (seq >= this.#seq) return [];
    const first = this.#events[0]?.seq;
    return first === undefined || first > seq + 1 ? undefined : this.#events.slice(seq + 1 - first);
  }

  /** Live text that a follower lacks which has had every event. */
  deltasAfter(position: EventPosition): readonly LiveDelta[] {
    const part = this.#part;
    if (part === undefined || position.seq < this.#seq) return [];
    return part.after(position).map((delta) => ({ ...part.name, ...delta }));
  }

  /** Resolves at the next change, or when it is closed. */
  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#waiting.delete(settle);
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = (): void => {
        this.#waiting.delete(settle);
        reject(signal.reason as Error);
      };
      if (signal.aborted) return onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(settle);
    });
  }

  #change(): void {
    for (const resolve of [...this.#waiting]) resolve();
  }

  #pump(): void {
    if (!this.#isOpen || this.#isClosed) return;
    if (this.#isPumping) return;
    this.#isPumping = true;
    void this.#work().finally(() => (this.#isPumping = false));
  }

  /** Until nothing is left to be done; Postgres being away is waited out. */
  async #work(): Promise<void> {
    for (;;) {
      if (this.#isClosed) return;
      try {
        if (this.#mustLook) await this.#look();
        else if (this.#told > this.#seq) await this.#readUpTo(this.#told);
        else if (this.#deltas.length > 0) await this.#applyDeltas();
        else return;
      } catch {
        await this.#pause();
      }
    }
  }

  async #pause(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, RETRY_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Events and live text of one instant: what is later is told later. */
  async #look(): Promise<void> {
    this.#mustLook = false;
    this.#looks += 1;
    const look = this.#looks;
    try {
      const head = await readEventHead(this.#options.store, this.#options);
      if (head === undefined) throw unknownUser();
      // The last few are read in any case: live text of what they completed may have been told late.
      if (!this.#isOpen) this.#seq = Math.max(0, head.seq - FOLDED_MAX);
      await this.#readUpTo(head.seq);
      for (const delta of head.deltas) this.#apply(delta, true);
    } catch (error) {
      this.#mustLook = true;
      throw error;
    }
    this.#looked = look;
    this.#change();
  }

  async #readUpTo(seq: number): Promise<void> {
    const { store, userId } = this.#options;
    while (this.#seq < seq && !this.#isClosed) {
      const limit = Math.min(FEED_PAGE_EVENTS, seq - this.#seq);
      const events = await readEvents(store, { userId, after: this.#seq, limit });
      if (events.length === 0) {
        // Told of what is not there: a forged notice.
        this.#told = this.#seq;
        return;
      }
      for (const event of events) this.#take(event);
      this.#change();
    }
  }

  #take(event: TurnEvent): void {
    this.#events.push(event);
    if (this.#events.length > FEED_EVENTS_MAX) this.#events.shift();
    this.#seq = event.seq;
    const folded = foldedBy(event);
    if (folded === undefined) return;
    this.#folded.push(folded);
    if (this.#folded.length > FOLDED_MAX) this.#folded.shift();
    if (this.#part !== undefined && this.#isFolded(this.#part.name)) this.#part = undefined;
  }

  #isFolded({ turnId, step, index }: PartName): boolean {
    return this.#folded.includes(nameOf(turnId, step, index)) || this.#folded.includes(nameOf(turnId));
  }

  async #applyDeltas(): Promise<void> {
    let hasLooked = false;
    for (const delta of this.#deltas.splice(0)) {
      if (this.#apply(delta, hasLooked) !== 'gap') continue;
      // The table has what is missing, or nobody has.
      await this.#look();
      hasLooked = true;
      this.#apply(delta, true);
    }
    this.#change();
  }

  /** `isAll`: nobody has more than this. */
  #apply(delta: StoredDelta, isAll: boolean): 'gap' | undefined {
    if (this.#isFolded(delta)) return undefined;
    const { turnId, step, index } = delta;
    const part = this.#part?.is(delta) === true ? this.#part : new LivePart({ turnId, step, index });
    const placed = { try: delta.try, n: delta.n, body: delta.body };
    if (isAll) part.takeAfterGap(placed);
    else if (part.take(placed) === 'gap') return 'gap';
    this.#part = part;
    return undefined;
  }
}
