/** The notes that signal handlers leave for the loop. Handlers only note what arrived: none awaits, none throws. */
import { setHandler } from '@temporalio/workflow';
import type { RejectedMessage } from '../contracts/activities.js';
import { HELD_PROMPTS_MAX, HELD_REJECTIONS_MAX } from '../contracts/limits.js';
import {
  cancelTurn,
  destroy,
  enqueueTurn,
  machineLost,
  parseCancelTurn,
  parseEnqueueTurn,
  parseMachineLost,
  sleepNow,
  wakeNow,
  type Refused,
} from '../contracts/messages.js';
import type { Bell } from './bell.js';

export interface Inbox {
  /** Something may wait in Postgres since the loop last looked. */
  mustLook: boolean;
  /** An `enqueueTurn` came since the loop last found its user. */
  wasEnqueued: boolean;
  prompts: { readonly turnId: string; readonly prompt: string }[];
  rejections: RejectedMessage[];
  /** Turn ids whose cancel is not yet stored, and those the loop has not yet applied to the running turn. */
  cancelsToStore: string[];
  cancelsToApply: string[];
  /** Highest generation that was reported lost, 0: none. */
  lostGeneration: number;
  sleepRequested: boolean;
  wakeRequested: boolean;
  destroyRequested: boolean;
}

export function createInbox(mustLook: boolean): Inbox {
  return {
    mustLook,
    wasEnqueued: false,
    prompts: [],
    rejections: [],
    cancelsToStore: [],
    cancelsToApply: [],
    lostGeneration: 0,
    sleepRequested: false,
    wakeRequested: false,
    destroyRequested: false,
  };
}

/** True when everything that must be stored is. */
export function hasNoMail(inbox: Inbox): boolean {
  return inbox.prompts.length === 0 && inbox.rejections.length === 0 && inbox.cancelsToStore.length === 0;
}

/** True when no note is left unread: the lane may end its run. */
export function isInboxEmpty(inbox: Inbox): boolean {
  return (
    hasNoMail(inbox) &&
    !inbox.mustLook &&
    inbox.cancelsToApply.length === 0 &&
    inbox.lostGeneration === 0 &&
    !inbox.sleepRequested &&
    !inbox.wakeRequested &&
    !inbox.destroyRequested
  );
}

/** Registers every signal handler. Called once the state exists and before the first await. */
export function registerSignals(inbox: Inbox, bell: Bell): void {
  const reject = (signal: string, refused: Refused): void => {
    // Past the bound only the record of refusals gets shorter; no message is lost by it.
    if (inbox.rejections.length < HELD_REJECTIONS_MAX) {
      inbox.rejections.push({ signal, code: refused.code, reason: refused.reason });
    }
  };

  setHandler(
    enqueueTurn,
    (payload: unknown) => {
      const message = parseEnqueueTurn(payload);
      bell.ring();
      if (!message.ok) return reject('enqueueTurn', message);
      const { turnId, prompt } = message.value;
      // A wish for sleep lapses with the next turn.
      inbox.sleepRequested = false;
      if (prompt === undefined) {
        inbox.mustLook = true;
        inbox.wasEnqueued = true;
      } else if (inbox.prompts.length < HELD_PROMPTS_MAX) {
        inbox.prompts.push({ turnId, prompt });
      } else {
        reject('enqueueTurn', {
          ok: false,
          code: 'QUEUE_FULL',
          reason: `The lane already keeps ${HELD_PROMPTS_MAX} prompts.`,
        });
      }
    },
    { description: 'A turn waits in Postgres: { turnId }. Or take this prompt: { turnId, prompt } (at most 16 KiB).' },
  );
  setHandler(
    cancelTurn,
    (payload: unknown) => {
      const message = parseCancelTurn(payload);
      bell.ring();
      if (!message.ok) return reject('cancelTurn', message);
      const { turnId } = message.value;
      if (!inbox.cancelsToStore.includes(turnId)) inbox.cancelsToStore.push(turnId);
      if (!inbox.cancelsToApply.includes(turnId)) inbox.cancelsToApply.push(turnId);
    },
    { description: 'Cancels one turn, waiting or running: { turnId }. The queue stays.' },
  );
  setHandler(
    machineLost,
    (payload: unknown) => {
      const message = parseMachineLost(payload);
      bell.ring();
      if (!message.ok) return reject('machineLost', message);
      inbox.lostGeneration = Math.max(inbox.lostGeneration, message.value.generation);
    },
    { description: 'The machine of this generation is gone: { generation }. The next turn replaces it.' },
  );
  setHandler(
    sleepNow,
    () => {
      inbox.sleepRequested = true;
      inbox.wakeRequested = false;
      bell.ring();
    },
    { description: 'Put the machine to sleep as soon as no turn is open. No payload.' },
  );
  setHandler(
    wakeNow,
    () => {
      inbox.wakeRequested = true;
      inbox.sleepRequested = false;
      bell.ring();
    },
    { description: 'Wake the machine and restart its idle time. No payload.' },
  );
  setHandler(
    destroy,
    () => {
      inbox.destroyRequested = true;
      bell.ring();
    },
    { description: 'Delete the machine, settle what waits, and end the lane. No payload.' },
  );
}
