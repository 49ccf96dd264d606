/**
 * The message that is being written. The box is free as soon as one is on its way; one that could not be sent is put back, under its id,
 * so that sending it again is not sending two, and what was written since comes back after it.
 */
import { signal, type ReadonlySignal } from '@preact/signals';
import type { TurnState } from '../api/answers.js';
import { asProblem, type Problem } from '../api/http.js';
import type { Api, Submission } from '../api/innkeeper.js';
import { newTurnId } from './turn-id.js';

export interface Composer {
  readonly text: ReadonlySignal<string>;
  readonly isSending: ReadonlySignal<boolean>;
  /** Why the text in the box could not be sent. */
  readonly problem: ReadonlySignal<Problem | null>;
  /** What was written since, and comes back; empty: nothing. */
  readonly later: ReadonlySignal<string>;
  write(text: string): void;
  /** While one is on its way, the next one follows it. */
  send(): Promise<void>;
}

export interface ComposerOptions {
  readonly api: Pick<Api, 'submit'>;
  readonly userId: string;
  readonly onSubmitted: (turn: Submission & { readonly position: number; readonly state: TurnState }) => void;
}

export function openComposer({ api, userId, onSubmitted }: ComposerOptions): Composer {
  const text = signal('');
  const later = signal('');
  const isSending = signal(false);
  const problem = signal<Problem | null>(null);
  /** What was tried last and may have arrived. */
  let tried: Submission | undefined;
  let isNextWanted = false;

  function freeBox(): void {
    text.value = later.value;
    later.value = '';
  }

  async function submit(submission: Submission): Promise<void> {
    try {
      const { position, state } = await api.submit(userId, submission);
      onSubmitted({ ...submission, position, state });
    } catch (reason) {
      problem.value = asProblem(reason);
      tried = submission;
      isNextWanted = false;
      later.value = text.value;
      text.value = submission.prompt;
    }
  }

  async function send(): Promise<void> {
    const prompt = text.value;
    if (prompt.trim() === '') return;
    isNextWanted = isSending.value;
    if (isSending.value) return;
    const submission = tried?.prompt === prompt ? tried : { turnId: newTurnId(), prompt };
    tried = undefined;
    isSending.value = true;
    problem.value = null;
    freeBox();
    await submit(submission);
    isSending.value = false;
    if (isNextWanted) await send();
  }

  return {
    ...{ text, later, isSending, problem, send },
    write(written) {
      text.value = written;
      // Given up.
      if (written === '' && later.value !== '') freeBox();
    },
  };
}
