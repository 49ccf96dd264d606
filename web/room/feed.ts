/**
 * One user's talk, kept up to date: the latest page of the transcript, then every event behind it. Where events cannot be gone on
 * with, everything is read anew. It ends with its signal.
 */
import { signal, type ReadonlySignal } from '@preact/signals';
import type { StreamEvent, TurnState } from '../api/answers.js';
import { createHurry, follow, pauseMs, type Connection } from '../api/follow.js';
import { asProblem, type Problem } from '../api/http.js';
import type { Api } from '../api/innkeeper.js';
import { apply, isNext } from '../talk/apply.js';
import { fromPage, withEarlier, withTurn } from '../talk/pages.js';
import { turnsWithoutPrompt, type Talk } from '../talk/talk.js';

/** Events that come at once are drawn at once. */
const DRAW_MS = 40;
/** Events come in groups; what they make necessary is asked once. */
const ASK_MS = 150;
/** Somebody else may create the user. */
const NEW_USER_LOOK_MS = 15_000;
/** What went well for so long has no failure behind it. */
const STEADY_MS = 5_000;

export type FeedState = 'loading' | 'open' | 'new_user' | 'failed';

export interface Feed {
  readonly state: ReadonlySignal<FeedState>;
  /** null: nothing was read yet. */
  readonly talk: ReadonlySignal<Talk | null>;
  readonly connection: ReadonlySignal<Connection>;
  /** Why it failed. */
  readonly problem: ReadonlySignal<Problem | null>;
  /** Tries at once where it waits; for a new user too, who may exist by now. */
  hurry(): void;
  loadEarlier(): Promise<void>;
  /** What an answer told of a turn. */
  told(turn: {
    readonly turnId: string;
    readonly position: number;
    readonly state: TurnState;
    readonly prompt: string;
  }): void;
}

export interface FeedOptions {
  readonly api: Api;
  readonly userId: string;
  readonly signal: AbortSignal;
  /** Each event that is new, in order. */
  onEvent(event: StreamEvent): void;
}

export function openFeed({ api, userId, signal: ending, onEvent }: FeedOptions): Feed {
  const state = signal<FeedState>('loading');
  const shown = signal<Talk | null>(null);
  const connection = signal<Connection>({ state: 'connecting' });
  const problem = signal<Problem | null>(null);
  const hurry = createHurry();
  /** As of the last event; what is shown may be a moment behind. */
  let talk: Talk | null = null;
  let drawing: ReturnType<typeof setTimeout> | undefined;
  let asking: ReturnType<typeof setTimeout> | undefined;
  const askedFor = new Set<string>();

  function change(next: Talk): void {
    if (next === talk) return;
    talk = next;
    drawing ??= setTimeout(() => {
      drawing = undefined;
      shown.value = talk;
    }, DRAW_MS);
    if (turnsWithoutPrompt(next).some((turnId) => !askedFor.has(turnId))) askQueue();
  }

  function take(event: StreamEvent): void {
    if (talk === null || !isNext(talk, event)) throw new Error('an event is missing');
    const before = talk;
    change(apply(talk, event));
    if (talk !== before) onEvent(event);
  }

  function askQueue(): void {
    asking ??= setTimeout(() => {
      asking = undefined;
      void askPrompts().catch(() => undefined); // The next event asks again; a prompt alone is missing.
    }, ASK_MS);
  }

  /** Prompts of turns that somebody else submitted: of open ones by the queue, of others one by one. */
  async function askPrompts(): Promise<void> {
    for (const turn of await api.queue(userId)) told(turn);
    const missing = talk === null ? [] : turnsWithoutPrompt(talk);
    for (const turnId of missing.filter((each) => !askedFor.has(each))) {
      askedFor.add(turnId);
      told(await api.getTurn(userId, turnId));
    }
  }

  function told(turn: Parameters<Feed['told']>[0]): void {
    if (talk !== null && !ending.aborted) change(withTurn(talk, turn));
  }

  /** Resolves when everything has to be read anew. @throws Problem */
  async function readAndFollow(): Promise<void> {
    const page = await api.transcript(userId, null);
    if (ending.aborted) return;
    change(fromPage(page));
    state.value = 'open';
    problem.value = null;
    askedFor.clear();
    askQueue();
    await follow({
      ...{ after: page.events, signal: ending, hurry },
      open: (after, aborted) => api.events(userId, after, aborted),
      onEvent: (data) => take(data as StreamEvent),
      onConnection: (next) => (connection.value = next),
    });
  }

  async function run(): Promise<void> {
    let failures = 0;
    while (!ending.aborted) {
      const startedMs = Date.now();
      const met = await readAndFollow().then(() => null, asProblem);
      // Refused: the page asks for another key.
      if (ending.aborted || met?.status === 401) break;
      failures = Date.now() - startedMs > STEADY_MS ? 0 : failures + 1;
      const isNew = met?.code === 'USER_UNKNOWN';
      const ms = isNew ? NEW_USER_LOOK_MS : Math.max(met?.retryAfterMs ?? 0, pauseMs(failures));
      problem.value = met;
      if (isNew) state.value = 'new_user';
      else if (met !== null && talk === null) state.value = 'failed';
      if (met !== null && !isNew) connection.value = { state: 'broken', untilMs: Date.now() + ms, problem: met };
      await hurry.wait(ms, ending);
    }
    clearTimeout(drawing);
    clearTimeout(asking);
  }

  void run();
  return {
    ...{ state, talk: shown, connection, problem, told },
    hurry: () => hurry.now(),
    async loadEarlier() {
      if (talk?.earlier === null || talk === null) return;
      const page = await api.transcript(userId, talk.earlier);
      if (!ending.aborted) change(withEarlier(talk, page));
    },
  };
}
