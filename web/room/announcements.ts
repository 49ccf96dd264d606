/** What is said aloud to those who do not look: whole answers and ends of commands, never the pieces of which they are made. */
import { signal, type ReadonlySignal } from '@preact/signals';
import type { StreamEvent } from '../api/answers.js';
import { plainText } from '../text/plain.js';

/** A screen reader reads what is new among these. */
const KEPT = 5;
const CHARACTERS_MAX = 2_000;

export interface Announcement {
  readonly id: number;
  readonly text: string;
}

export interface Announcements {
  readonly latest: ReadonlySignal<readonly Announcement[]>;
  say(text: string): void;
}

export function createAnnouncements(): Announcements {
  const latest = signal<readonly Announcement[]>([]);
  let id = 0;
  return {
    latest,
    say(text) {
      id += 1;
      latest.value = [...latest.value, { id, text: text.slice(0, CHARACTERS_MAX) }].slice(-KEPT);
    },
  };
}

/** Words for an event; undefined: it is not worth any. */
export function wordsFor(event: StreamEvent): string | undefined {
  if (!('seq' in event)) return undefined;
  switch (event.type) {
    case 'step.answered': {
      const commands = event.calls.map(({ title }) => `Command: ${plainText(title)}.`);
      return [event.text.trim(), ...commands].filter((text) => text !== '').join('\n') || undefined;
    }
    case 'command.ended':
      return event.outcome === 'exited'
        ? `The command ended with exit code ${event.exitCode ?? 'unknown'}.`
        : `The command ended: ${event.outcome.replaceAll('_', ' ')}.`;
    case 'turn.ended':
      return event.outcome === 'completed' ? undefined : `The turn ended: ${event.outcome}.`;
    case 'machine.replaced':
      return 'The machine was replaced by a new one.';
    case 'terminal.taken':
      return 'A person has taken the keyboard of the machine.';
    case 'terminal.handed_back':
      return 'The keyboard of the machine was handed back.';
    default:
      return undefined;
  }
}
