/**
 * A turn as one text that only grows, for protocols that cannot take back what was said: what the agent says in its steps and, where
 * wanted, its commands. The log's events have the last word; live text only brings theirs forward. No I/O.
 */
import type { FeedItem } from '../client.js';
import type { CallOutcome } from '../contracts/activities.js';
import type { EventCall, TurnDelta, TurnEventBody } from '../contracts/events.js';

/** `text`: within the text; `annotation`: beside it; `none`: not at all. */
export const COMMANDS_SHOWN = ['text', 'annotation', 'none'] as const;
export type CommandsShown = (typeof COMMANDS_SHOWN)[number];

/** A command of the agent, as far as it is. */
export interface ShownCommand {
  readonly id: string;
  readonly step: number;
  readonly index: number;
  readonly tool: string;
  /** The command's text, or the path of a file tool. */
  readonly title: string;
  /** null: it runs. */
  readonly outcome: CallOutcome | null;
  readonly exitCode: number | null;
  readonly outputBytes: number | null;
  /** As the model is shown it; its last line says how it ended. */
  readonly output: string | null;
}

export interface Said {
  /** To be appended; may be empty. */
  readonly text: string;
  /** The text says that what was said last is void, and begins it anew. */
  readonly isAnew: boolean;
  /** Only where commands are annotations. */
  readonly command?: ShownCommand;
}

export interface TurnText {
  push(item: FeedItem): Said;
  /** What was said so far, without what is void: of a turn that completed, the same for everybody. */
  readonly text: string;
  /** The length of `text`. */
  readonly length: number;
  /** As they were last heard of; only where they are annotations. */
  readonly commands: readonly ShownCommand[];
}

const ANEW = '\n\n[This answer was cut off, and begins anew:]\n\n';
const BETWEEN = '\n\n';
const NOTHING: Said = { text: '', isAnew: false };

const isBlank = (text: string): boolean => text.trim() === '';

export function createTurnText(shown: CommandsShown): TurnText {
  /** Of parts that are complete. */
  let settled = '';
  let step = -1;
  /** The text of the step that is being made: as far as it was said, and as far as it was heard in the newest try. */
  let said = '';
  let heard = '';
  /** Something in between is missing: the step's event will hold it. */
  let isDeaf = false;
  const titles = new Map<string, EventCall>();
  const commands = new Map<string, ShownCommand>();

  const lead = (): string => (settled === '' ? '' : BETWEEN);

  function beginStep(next: number): void {
    if (next === step) return;
    step = next;
    [said, heard, isDeaf] = ['', '', false];
  }

  /** Says of a step's text what was not said yet. */
  function grow(text: string, isWhole: boolean): Said {
    const before = said;
    // White space alone may be all that it says: then it is nothing.
    if (before === '' && isBlank(text)) return NOTHING;
    if (!isWhole && text.length < before.length && before.startsWith(text)) return NOTHING; // It may come to the same.
    said = text;
    if (before === '') return { text: lead() + text, isAnew: false };
    if (text.startsWith(before)) return { text: text.slice(before.length), isAnew: false };
    return { text: ANEW + text, isAnew: true };
  }

  function settle(text: string): Said {
    const added = lead() + text;
    settled += added;
    return { text: added, isAnew: false };
  }

  function pushDelta({ step: of, index, body }: TurnDelta): Said {
    if (index !== null) return NOTHING; // Output is shown once it is whole: only then is it known what could fence it in.
    beginStep(of);
    switch (body.type) {
      case 'answer.delta':
        heard += body.text;
        return isDeaf ? NOTHING : grow(heard, false);
      case 'part.restarted':
        [heard, isDeaf] = ['', false];
        return NOTHING;
      case 'part.resync':
        isDeaf = true;
        return NOTHING;
      case 'call.delta':
      case 'output.delta':
        return NOTHING;
    }
  }

  function pushAnswer(body: Extract<TurnEventBody, { type: 'step.answered' }>): Said {
    beginStep(body.step);
    for (const call of body.calls) titles.set(call.cmdId, call);
    const rest = grow(body.text, true);
    if (!isBlank(body.text)) settled += lead() + body.text;
    beginStep(-1);
    return rest;
  }

  function pushCommand(body: Extract<TurnEventBody, { type: 'command.started' | 'command.ended' }>): Said {
    const { step: of, index, cmdId: id, tool } = body;
    const isKnown = commands.has(id);
    if (shown === 'none' || (body.type === 'command.started' && isKnown)) return NOTHING;
    const { outcome, exitCode, outputBytes, output } = body.type === 'command.ended' ? body : RUNNING;
    const title = titles.get(id)?.title ?? '';
    const command = { id, step: of, index, tool, title, outcome, exitCode, outputBytes, output };
    commands.set(id, command);
    if (shown === 'annotation') return { ...NOTHING, command };
    const blocks = [
      ...(isKnown ? [] : [fenced(tool === 'bash' ? `$ ${title}` : `${tool} ${title}`, 'console')]),
      ...(outcome === null ? [] : [fenced(output === null || isBlank(output) ? `[${outcome}]` : output.trimEnd(), '')]),
    ];
    return settle(blocks.join(BETWEEN));
  }

  return {
    push(item) {
      if ('delta' in item) return pushDelta(item.delta);
      const { body } = item.event;
      if (body.type === 'step.answered') return pushAnswer(body);
      return body.type === 'command.started' || body.type === 'command.ended' ? pushCommand(body) : NOTHING;
    },
    get text() {
      return said === '' ? settled : settled + lead() + said;
    },
    get length() {
      return said === '' ? settled.length : settled.length + lead().length + said.length;
    },
    get commands() {
      return shown === 'annotation' ? [...commands.values()] : [];
    },
  };
}

const RUNNING = { outcome: null, exitCode: null, outputBytes: null, output: null } as const;

/** A block of Markdown that nothing within can end: its fence is longer than any that the text has. */
function fenced(text: string, language: string): string {
  const longest = Math.max(0, ...Array.from(text.matchAll(/`+/g), ([run]) => run.length));
  const fence = '`'.repeat(Math.max(3, longest + 1));
  return `${fence}${language}\n${text}\n${fence}`;
}
