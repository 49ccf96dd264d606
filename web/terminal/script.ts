/**
 * The commands of a conversation as a terminal shows them: prompt, command, output in colour, and how it ended. Only text and colours
 * come out of here, whatever went in.
 */
import { createColourText, type ColourText } from '../../src/guest/colour-text.js';
import { joinLive, type TalkCall, type TalkEntry } from '../talk/talk.js';
import { plainText } from '../text/plain.js';

/** The last so many are shown. */
export const COMMANDS_MAX = 30;

/** What the terminal shows of one command. */
export interface Piece {
  readonly cmdId: string;
  readonly text: string;
}

const OFF = '\u001b[0m';
const PROMPT = '\u001b[1;32m';
const TOOL = '\u001b[36m';
const GOOD = '\u001b[2m';
const BAD = '\u001b[31m';

/** Output of one command as it grows: what was filtered once is not filtered again. */
interface Filtered {
  readonly filter: ColourText;
  readonly raw: string;
  readonly shown: string;
}

export interface TerminalScript {
  /** `outputs`: bytes as they are kept, by command. Answers the commands that have begun, oldest first. */
  toPieces(entries: readonly TalkEntry[], outputs: ReadonlyMap<string, Uint8Array>): Piece[];
}

export function createTerminalScript(): TerminalScript {
  const encoder = new TextEncoder();
  let filtered = new Map<string, Filtered>();

  function filterLive(cmdId: string, raw: string): Filtered {
    const known = filtered.get(cmdId);
    const goesOn = known !== undefined && raw.startsWith(known.raw);
    const { filter, shown } = goesOn ? known : { filter: createColourText(), shown: '' };
    const more = goesOn ? raw.slice(known.raw.length) : raw;
    return { filter, raw, shown: shown + filter.push(encoder.encode(more)) };
  }

  return {
    toPieces(entries, outputs) {
      const calls = begunCalls(entries).slice(-COMMANDS_MAX);
      const next = new Map<string, Filtered>();
      const pieces = calls.map((call): Piece => {
        const { cmdId } = call;
        const kept = outputs.get(cmdId);
        if (kept !== undefined) {
          const text = createColourText().push(kept);
          return { cmdId, text: head(call) + text + foot(call, text) };
        }
        if (call.live.length === 0 && call.outcome !== null) {
          // Its last line says how it ended.
          const text = `${plainText(call.output).trimEnd()}\n`;
          return { cmdId, text: head(call) + text };
        }
        const live = filterLive(cmdId, joinLive(call.live, '\n[…]\n'));
        next.set(cmdId, live);
        return { cmdId, text: head(call) + live.shown + foot(call, live.shown) };
      });
      filtered = next;
      return pieces;
    },
  };
}

/** What has to be written for `next` where `drawn` stands; `isAnew`: after everything was wiped. */
export function toDrawing(
  drawn: readonly Piece[],
  next: readonly Piece[],
): { readonly isAnew: boolean; readonly text: string } {
  const place = drawn.findIndex((piece, at) => piece.cmdId !== next[at]?.cmdId || piece.text !== next[at].text);
  if (place === -1) return { isAnew: false, text: textOf(next.slice(drawn.length)) };
  const [old, grown] = [drawn[place], next[place]];
  const grows = old !== undefined && grown?.cmdId === old.cmdId && grown.text.startsWith(old.text);
  if (!grows || place < drawn.length - 1) return { isAnew: true, text: textOf(next) };
  return { isAnew: false, text: grown.text.slice(old.text.length) + textOf(next.slice(place + 1)) };
}

function textOf(pieces: readonly Piece[]): string {
  return pieces.map(({ text }) => text).join('');
}

function begunCalls(entries: readonly TalkEntry[]): TalkCall[] {
  return entries.flatMap(({ calls }) =>
    calls.filter(({ startedAt, outcome, live }) => startedAt !== null || outcome !== null || live.length > 0),
  );
}

function head({ tool, title }: TalkCall): string {
  const name = plainText(title);
  return tool === 'bash' ? `${PROMPT}$${OFF} ${name}\n` : `${TOOL}[${plainText(tool)}]${OFF} ${name}\n`;
}

function foot({ outcome, exitCode }: TalkCall, text: string): string {
  if (outcome === null) return '';
  const end = OFF + (text === '' || text.endsWith('\n') ? '' : '\n');
  if (outcome === 'exited' && exitCode === 0) return end;
  const word = outcome === 'exited' ? `exit code ${exitCode ?? 'unknown'}` : outcome.replaceAll('_', ' ');
  return `${end}${outcome === 'exited' ? BAD : GOOD}[${word}]${OFF}\n`;
}
