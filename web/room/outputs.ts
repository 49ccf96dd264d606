/** Output of commands that ended, as the machine's journal has it: asked for when a terminal shows it, and kept. */
import { signal, type ReadonlySignal } from '@preact/signals';
import type { Api } from '../api/innkeeper.js';
import type { TalkEntry } from '../talk/talk.js';
import { COMMANDS_MAX } from '../terminal/script.js';

export interface Outputs {
  /** By command. */
  readonly kept: ReadonlySignal<ReadonlyMap<string, Uint8Array>>;
  /** Asks for what is missing, the newest first. */
  want(entries: readonly TalkEntry[]): void;
}

export interface OutputsOptions {
  readonly api: Api;
  readonly userId: string;
  readonly signal: AbortSignal;
}

export function openOutputs({ api, userId, signal: ending }: OutputsOptions): Outputs {
  const kept = signal<ReadonlyMap<string, Uint8Array>>(new Map());
  /** Of whom nothing more is to be had: they are asked for once. */
  const asked = new Set<string>();
  let wanted: string[] = [];
  let isAsking = false;

  async function ask(): Promise<void> {
    if (isAsking) return;
    isAsking = true;
    for (let cmdId = wanted.shift(); cmdId !== undefined && !ending.aborted; cmdId = wanted.shift()) {
      asked.add(cmdId);
      try {
        const bytes = await api.output(userId, cmdId);
        kept.value = new Map([...kept.value, [cmdId, bytes] as const].slice(-2 * COMMANDS_MAX));
      } catch {
        // The terminal shows what the conversation holds of it.
      }
    }
    isAsking = false;
  }

  return {
    kept,
    want(entries) {
      const ended = entries
        .flatMap(({ calls }) => calls.filter(({ outcome }) => outcome !== null))
        .slice(-COMMANDS_MAX);
      wanted = ended
        .filter(({ cmdId, outputBytes }) => (outputBytes ?? 0) > 0 && !asked.has(cmdId))
        .map(({ cmdId }) => cmdId)
        .toReversed();
      if (wanted.length > 0) void ask();
    },
  };
}
