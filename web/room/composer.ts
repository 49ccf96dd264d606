/** The message that is being written. What could not be sent stays in the box, under its id, so that sending it again is not sending two. */
import { signal, type ReadonlySignal, type Signal } from '@preact/signals';
import type { TurnState } from '../api/answers.js';
import { asProblem, type Problem } from '../api/http.js';
import type { Api, Submission } from '../api/innkeeper.js';
import { newTurnId } from './turn-id.js';

export interface Composer {
  readonly text: Signal<string>;
  readonly isSending: ReadonlySignal<boolean>;
  /** Why the text in the box could not be sent. */
  readonly problem: ReadonlySignal<Problem | null>;
  send(): Promise<void>;
}

export interface ComposerOptions {
  readonly api: Api;
  readonly userId: string;
  readonly onSubmitted: (turn: Submission & { readonly position: number; readonly state: TurnState }) => void;
}

export function openComposer({ api, userId, onSubmitted }: ComposerOptions): Composer {
  const text = signal('');
  const isSending = signal(false);
  const problem = signal<Problem | null>(null);
  /** What was tried last: it may have arrived. */
  let tried: Submission | undefined;

  return {
    ...{ text, isSending, problem },
    async send() {
      const prompt = text.value;
      if (isSending.value || prompt.trim() === '') return;
      tried = tried?.prompt === prompt ? tried : { turnId: newTurnId(), prompt };
      isSending.value = true;
      problem.value = null;
      try {
        const { position, state } = await api.submit(userId, tried);
        onSubmitted({ ...tried, position, state });
        tried = undefined;
        if (text.value === prompt) text.value = '';
      } catch (reason) {
        problem.value = asProblem(reason);
      } finally {
        isSending.value = false;
      }
    },
  };
}
