/** The notes that signal handlers leave for the loop. Handlers only note what arrived: none awaits, none throws. */
import { setHandler } from '@temporalio/workflow';
import type { RejectedMessage, TurnRef } from '../contracts/activities.js';
import { HELD_PROMPTS_MAX, HELD_REJECTIONS_MAX } from '../contracts/limits.js';
import {
  cancelTurn,
  destroy,
  enqueueTurn,
  look,
  machineLost,
  parseCancelTurn,
  parseEnqueueTurn,
  parseMachineLost,
  sleepNow,
  wakeNow,
  type Refused,
} from '../contracts/messages.js';
import type { Bell } from './bell.js';

/** Generations reported lost that a lane keeps until its machine is at rest: one of them is right. */
const HELD_LOSSES_MAX = 100;
/** Cancels from signals that a lane keeps while Postgres is away. */
const HELD_CANCELS_MAX = 100;

export interface Inbox {
  /** Something may wait in Postgres since the loop last looked: set by `askToLook` and by an announcement. */
  mustLook: boolean;
  /** The one reason to look is this turn: it may be begun without a look. */
  announced: AnnouncedTurn | undefined;
  /** An `enqueueTurn` came since the loop last found its user. */
  wasEnqueued: boolean;
  prompts: { readonly turnId: string; readonly prompt: string }[];
  rejections: RejectedMessage[];
  /** Turn ids whose cancel is not yet stored, and those the loop has not yet applied to the running turn. */
  cancelsToStore: string[];
  cancelsToApply: string[];
  /** Generations that were reported lost. */
  lostGenerations: number[];
  sleepRequested: boolean;
  wakeRequested: boolean;
  destroyRequested: boolean;
}

export interface AnnouncedTurn extends TurnRef {
  readonly turnId: string;
}

export function createInbox(carried: { readonly mustLook: boolean; readonly sleepRequested: boolean }): Inbox {
  return {
    mustLook: carried.mustLook,
    announced: undefined,
    sleepRequested: carried.sleepRequested,
    wasEnqueued: false,
    prompts: [],
    rejections: [],
    cancelsToStore: [],
    cancelsToApply: [],
    lostGenerations: [],
    wakeRequested: false,
    destroyRequested: false,
  };
}

/** True while a prompt or a cancel is not stored yet: what Postgres says of the queue is about to change. */
export function hasUnstoredTurns(inbox: Inbox): boolean {
  return inbox.prompts.length > 0 || inbox.cancelsToStore.length > 0;
}

/** True when everything that must be stored is. */
export function hasNoMail(inbox: Inbox): boolean {
  return !hasUnstoredTurns(inbox) && inbox.rejections.length === 0;
}

/** True when no note is left unread: the lane may end its run. */
export function isInboxEmpty(inbox: Inbox): boolean {
  return (
    hasNoMail(inbox) &&
    !inbox.mustLook &&
    inbox.cancelsToApply.length === 0 &&
    inbox.lostGenerations.length === 0 &&
    !inbox.sleepRequested &&
    !inbox.wakeRequested &&
    !inbox.destroyRequested
  );
}

/** Asks the loop to read in Postgres what comes next. */
export function askToLook(inbox: Inbox): void {
  inbox.mustLook = true;
  inbox.announced = undefined;
}

/** Notes an admitted turn; where there is another reason to look, or the sender did not say its place, only that. */
function announce(inbox: Inbox, turn: AnnouncedTurn | undefined): void {
  if (turn === undefined || (inbox.mustLook && inbox.announced?.turnKey !== turn.turnKey)) return askToLook(inbox);
  inbox.mustLook = true;
  inbox.announced = turn;
}

/** Keeps a refusal until it is recorded. Past the bound only the record of refusals gets shorter; no message is lost by it. */
export function noteRejection(inbox: Inbox, rejection: RejectedMessage): void {
  if (inbox.rejections.length < HELD_REJECTIONS_MAX) inbox.rejections.push(rejection);
}

/** There is no such user: whatever asked for something is refused on record. */
export function refuseAll(inbox: Inbox, code: 'USER_UNKNOWN' | 'USER_DESTROYED'): void {
  const asked: readonly [boolean, string][] = [
    [inbox.wasEnqueued, 'enqueueTurn'],
    [inbox.lostGenerations.length > 0, 'machineLost'],
    [inbox.sleepRequested, 'sleepNow'],
    [inbox.wakeRequested, 'wakeNow'],
    [inbox.destroyRequested, 'destroy'],
  ];
  for (const [isAsked, signal] of asked) {
    if (isAsked) noteRejection(inbox, { signal, code, reason: 'The lane found no such user.' });
  }
  inbox.wasEnqueued = inbox.sleepRequested = inbox.wakeRequested = inbox.destroyRequested = false;
  inbox.lostGenerations = [];
  inbox.cancelsToApply = [];
}

/** Registers every signal handler. Called once the state exists and before the first await. */
export function registerSignals(inbox: Inbox, bell: Bell): void {
  const reject = (signal: string, { code, reason }: Omit<Refused, 'ok'>): void =>
    noteRejection(inbox, { signal, code, reason });

  setHandler(
    enqueueTurn,
    (payload: unknown) => {
      const message = parseEnqueueTurn(payload);
      bell.ring();
      if (!message.ok) return reject('enqueueTurn', message);
      const { turnId, prompt, admitted } = message.value;
      // A wish for sleep lapses with the next turn.
      inbox.sleepRequested = false;
      if (prompt === undefined) {
        announce(inbox, admitted && { turnId, ...admitted });
        inbox.wasEnqueued = true;
      } else if (inbox.prompts.length < HELD_PROMPTS_MAX) {
        inbox.prompts.push({ turnId, prompt });
      } else {
        reject('enqueueTurn', { code: 'QUEUE_FULL', reason: `The lane already keeps ${HELD_PROMPTS_MAX} prompts.` });
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
      if (inbox.cancelsToStore.includes(turnId)) return;
      if (inbox.cancelsToStore.length >= HELD_CANCELS_MAX) {
        return reject('cancelTurn', {
          code: 'QUEUE_FULL',
          reason: `The lane already keeps ${HELD_CANCELS_MAX} cancels.`,
        });
      }
      inbox.cancelsToStore.push(turnId);
      inbox.cancelsToApply.push(turnId);
    },
    { description: 'Cancels one turn, waiting or running: { turnId }. The queue stays.' },
  );
  setHandler(
    machineLost,
    (payload: unknown) => {
      const message = parseMachineLost(payload);
      bell.ring();
      if (!message.ok) return reject('machineLost', message);
      const { generation } = message.value;
      if (inbox.lostGenerations.includes(generation)) return;
      // Past the bound the reconciler says it again.
      if (inbox.lostGenerations.length < HELD_LOSSES_MAX) inbox.lostGenerations.push(generation);
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
  setHandler(
    look,
    () => {
      askToLook(inbox);
      bell.ring();
    },
    { description: 'Read Postgres again: something was committed that no other message told of. No payload.' },
  );
}
