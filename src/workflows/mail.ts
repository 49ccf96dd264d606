/** Stores what came in by signal alone: prompts, cancels and refusals, in order of arrival, one delivery at a time. */
import { isCancellation, sleep } from '@temporalio/workflow';
import type { Bell } from './bell.js';
import { codeOf, isPermanent } from './failures.js';
import { askToLook, hasNoMail, noteRejection, type Inbox } from './inbox.js';
import { createPause, STORE_PAUSE_MS_MAX } from './pause.js';
import type { StoreSteps } from './store-steps.js';

export interface Mail {
  /** Begins to deliver if there is anything and nothing is under way. */
  deliver(): void;
  /** Delivers all there is and waits for it. */
  drain(): Promise<void>;
  /** A step of Postgres is under way; false during a pause after an error. */
  readonly isBusy: boolean;
}

/** A note that Postgres refuses for good so many times, over about six minutes, is given up, so that those behind it get through. */
const NOTE_TRIES_MAX = 12;

export function createMail(inbox: Inbox, bell: Bell, store: StoreSteps): Mail {
  let delivering: Promise<void> | undefined;
  let isPaused = false;
  let refusals = 0;
  const pause = createPause(STORE_PAUSE_MS_MAX);

  /** Stores the first note. A note leaves the inbox only once it is stored. False: there is none. */
  async function deliverOne(): Promise<boolean> {
    const [prompt] = inbox.prompts;
    const [turnId] = inbox.cancelsToStore;
    const [rejection] = inbox.rejections;
    if (prompt !== undefined) {
      await store.admitPrompt(prompt);
      inbox.prompts.shift();
      askToLook(inbox);
    } else if (turnId !== undefined) {
      await store.recordCancel(turnId);
      inbox.cancelsToStore.shift();
    } else if (rejection !== undefined) {
      await store.recordRejection(rejection);
      inbox.rejections.shift();
    } else {
      return false;
    }
    return true;
  }

  /** The first note cannot be stored: a message becomes a refusal, a refusal that cannot be recorded is gone. */
  function giveUp(error: unknown): void {
    const refused = { code: codeOf(error), reason: 'The lane could not store this message.' };
    if (inbox.prompts.shift() !== undefined) noteRejection(inbox, { signal: 'enqueueTurn', ...refused });
    else if (inbox.cancelsToStore.shift() !== undefined) noteRejection(inbox, { signal: 'cancelTurn', ...refused });
    else inbox.rejections.shift();
  }

  async function waitAfter(error: unknown): Promise<void> {
    refusals = isPermanent(error) ? refusals + 1 : 0;
    if (refusals >= NOTE_TRIES_MAX) {
      refusals = 0;
      return giveUp(error);
    }
    isPaused = true;
    bell.ring();
    try {
      await sleep(Math.max(1, pause.begin()), { summary: 'store messages again after an error' });
    } finally {
      isPaused = false;
    }
  }

  async function run(): Promise<void> {
    for (;;) {
      try {
        if (!(await deliverOne())) return;
        refusals = 0;
        pause.reset();
      } catch (error) {
        if (isCancellation(error)) throw error;
        await waitAfter(error);
      }
    }
  }

  function start(): Promise<void> {
    delivering ??= run().finally(() => {
      delivering = undefined;
      bell.ring();
    });
    return delivering;
  }

  return {
    get isBusy() {
      return delivering !== undefined && !isPaused;
    },
    deliver() {
      // A failure is the lane's cancellation: the notes stay in the inbox, and the last drain takes them.
      if (!hasNoMail(inbox)) start().catch(() => undefined);
    },
    async drain() {
      if (delivering !== undefined) await delivering.catch(() => undefined);
      if (!hasNoMail(inbox)) await start();
    },
  };
}
