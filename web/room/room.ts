/** The room of one user: their talk, their machine, and what can be asked of both. */
import { computed, signal, type ReadonlySignal } from '@preact/signals';
import type { UserDetails } from '../api/answers.js';
import { asProblem, type Problem } from '../api/http.js';
import type { Api } from '../api/innkeeper.js';
import { runningTurn } from '../talk/talk.js';
import type { Announcements } from './announcements.js';
import { wordsFor } from './announcements.js';
import type { Composer, ComposerOptions } from './composer.js';
import { openFeed, type Feed } from './feed.js';
import { openFiles, type Files } from './files.js';
import { openKeyboard, type Keyboard } from './keyboard.js';
import { openOutputs, type Outputs } from './outputs.js';
import { save } from './save.js';

/** Beneath the events: cost grows and sleep comes nearer without any. */
const LOOK_MS = 20_000;
const ASK_MS = 250;

export interface Room {
  readonly userId: string;
  readonly feed: Feed;
  readonly composer: Composer;
  readonly outputs: Outputs;
  readonly files: Files;
  readonly keyboard: Keyboard;
  /** null: not known yet, or there is no such user yet. */
  readonly user: ReadonlySignal<UserDetails | null>;
  readonly runningTurnId: ReadonlySignal<string | undefined>;
  /** The turn that was asked to stop. */
  readonly stoppingTurnId: ReadonlySignal<string | undefined>;
  /** Of the last thing that was asked, the message aside. */
  readonly problem: ReadonlySignal<Problem | null>;
  /** A message was taken. */
  readonly submitted: ComposerOptions['onSubmitted'];
  stop(): void;
  remove(turnId: string): Promise<void>;
  askMachine(verb: 'sleep' | 'wake'): void;
  close(): void;
}

export interface RoomOptions {
  readonly api: Api;
  readonly userId: string;
  readonly composer: Composer;
  readonly announcements: Announcements;
  readonly onUser: (user: UserDetails) => void;
}

export function openRoom({ api, userId, composer, announcements, onUser }: RoomOptions): Room {
  const closing = new AbortController();
  const user = signal<UserDetails | null>(null);
  const problem = signal<Problem | null>(null);
  const stoppingTurnId = signal<string | undefined>(undefined);
  let asking: ReturnType<typeof setTimeout> | undefined;

  const feed = openFeed({
    ...{ api, userId, signal: closing.signal },
    onEvent(event) {
      const words = wordsFor(event);
      if (words !== undefined) announcements.say(words);
      if ('seq' in event && event.type !== 'command.started' && event.type !== 'step.answered') askUserSoon();
    },
  });
  const keyboard = openKeyboard({ api, userId, storage: sessionStorage, say: announcements.say });
  const runningTurnId = computed(() => (feed.talk.value === null ? undefined : runningTurn(feed.talk.value)));

  function askUserSoon(): void {
    asking ??= setTimeout(() => {
      asking = undefined;
      void askUser();
    }, ASK_MS);
  }

  async function askUser(): Promise<void> {
    try {
      const details = await api.getUser(userId);
      if (closing.signal.aborted) return;
      const isFirst = user.value === null;
      user.value = details;
      onUser(details);
      if (isFirst && details.machine.terminal !== null) keyboard.resume();
    } catch {
      // The feed says what is the matter; what was known stays until the next look.
    }
  }

  async function attempt(work: () => Promise<void>): Promise<void> {
    problem.value = null;
    try {
      await work();
    } catch (reason) {
      if (!closing.signal.aborted) problem.value = asProblem(reason);
    }
    askUserSoon();
  }

  const look = setInterval(() => document.visibilityState === 'visible' && void askUser(), LOOK_MS);
  void askUser();
  return {
    ...{ userId, feed, composer, keyboard, user, problem, runningTurnId, stoppingTurnId },
    outputs: openOutputs({ api, userId, signal: closing.signal }),
    files: openFiles({ api, userId, say: announcements.say, save, signal: closing.signal }),
    submitted(turn) {
      feed.told(turn);
      // A new user's talk can be read from now on.
      if (feed.talk.value === null) feed.hurry();
      askUserSoon();
    },
    stop() {
      const turnId = runningTurnId.value;
      if (turnId === undefined) return;
      stoppingTurnId.value = turnId;
      void attempt(() => api.cancel(userId, turnId)).then(() => {
        if (problem.value !== null) stoppingTurnId.value = undefined;
      });
    },
    remove: (turnId) => attempt(() => api.removeWaiting(userId, turnId)),
    askMachine: (verb) => void attempt(() => api.askMachine(userId, verb)),
    close() {
      clearInterval(look);
      clearTimeout(asking);
      keyboard.close();
      closing.abort(new Error('the room is closed'));
    },
  };
}
