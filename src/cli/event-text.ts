/** Turn events as a person reads them, in the chat and in `show`. */
import { ERROR_TABLE, type ErrorCode } from '../contracts/errors.js';
import type { TurnEvent, TurnEventBody } from '../contracts/events.js';

/** Makes the text of one event after the other; undefined for those that say nothing to a person. */
export type EventText = (event: TurnEvent) => string | undefined;

/** Remembers what the commands are called between their announcement and their start. */
export function createEventText(): EventText {
  const titles = new Map<string, string>();
  return ({ body }) => {
    if (body.type === 'step.answered') for (const call of body.calls) titles.set(call.cmdId, call.title);
    return toText(body, titles);
  };
}

function toText(body: TurnEventBody, titles: ReadonlyMap<string, string>): string | undefined {
  switch (body.type) {
    case 'turn.queued':
    case 'turn.started':
      return undefined;
    case 'turn.resumed':
      return `· goes on at step ${body.step} after an interruption`;
    case 'step.answered':
      return toPlain(body.text).trim() || undefined;
    case 'command.started': {
      const title = toPlain(titles.get(body.cmdId) ?? '');
      return body.tool === 'bash' ? `$ ${title}` : `[${body.tool}] ${title}`;
    }
    case 'command.ended':
      // How it ended is said by the last line of the output, as the model reads it.
      return toPlain(body.output).trimEnd().replace(/^/gm, '  ').trimEnd() || undefined;
    case 'turn.ended':
      return body.outcome === 'completed' ? undefined : `· ${body.outcome}${adviceFor(body.code)}`;
    case 'machine.phase':
      return `· machine ${body.generation} is ${body.phase}`;
    case 'machine.replaced':
      return [
        `· machine ${body.generation} replaces the one before: ${toPlain(body.reason)}`,
        ...whatIsLeft(body),
      ].join('\n');
    case 'terminal.taken':
      return `· the terminal is taken by ${toPlain(body.holder)}: commands wait`;
    case 'terminal.handed_back':
      return `· the terminal is handed back${body.directory === null ? '' : `, in ${toPlain(body.directory)}`}`;
  }
}

function whatIsLeft({ kept, lost }: { kept?: readonly string[]; lost?: readonly string[] }): string[] {
  return [
    ...(lost === undefined ? [] : [`  lost: ${lost.join(', ')}`]),
    ...(kept === undefined ? [] : [`  kept: ${kept.join(', ')}`]),
  ];
}

function adviceFor(code: ErrorCode | null): string {
  return code === null ? '' : `: ${code}. ${ERROR_TABLE[code].advice}`;
}

const ESCAPE_SEQUENCE = new RegExp(
  // CSI; OSC and the other strings up to their end; any other escape.
  '\\u001b(?:\\[[0-?]*[ -/]*[@-~]|[\\]PX^_][^\\u0007\\u001b]*(?:\\u0007|\\u001b\\\\)?|[ -/]*[0-~])?',
  'g',
);
const CONTROL_CHARACTER = new RegExp(
  '[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u202a-\\u202e\\u2066-\\u2069]',
  'g',
);

/** Output and model text are hostile: none of their control sequences reaches the terminal. Tabs and newlines stay. */
export function toPlain(text: string): string {
  return text.replace(/\r\n/g, '\n').replace(ESCAPE_SEQUENCE, '').replace(CONTROL_CHARACTER, '');
}
