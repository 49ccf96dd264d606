/** Stores what came in by signal alone: prompts, cancels and refusals, in order of arrival, one delivery at a time. */
import type { Bell } from './bell.js';
import { hasNoMail, type Inbox } from './inbox.js';
import * as steps from './steps.js';

export interface Mail {
  /** Begins to deliver if there is anything and nothing is under way. */
  deliver(): void;
  /** Delivers all there is and waits for it. */
  drain(): Promise<void>;
  readonly isBusy: boolean;
}

export function createMail(inbox: Inbox, bell: Bell): Mail {
  let delivering: Promise<void> | undefined;

  async function run(): Promise<void> {
    for (;;) {
      const [prompt] = inbox.prompts;
      const [turnId] = inbox.cancelsToStore;
      const [rejection] = inbox.rejections;
      // A note leaves the inbox only once it is stored.
      if (prompt !== undefined) {
        await steps.admitPrompt(prompt);
        inbox.prompts.shift();
        inbox.mustLook = true;
      } else if (turnId !== undefined) {
        await steps.recordCancel(turnId);
        inbox.cancelsToStore.shift();
      } else if (rejection !== undefined) {
        await steps.recordRejection(rejection);
        inbox.rejections.shift();
      } else {
        return;
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
      return delivering !== undefined;
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
