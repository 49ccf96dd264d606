/** Events and live text as a person reads them in a terminal: what was shown live is not shown again, only what it lacks. */
import type { TurnDelta, TurnEvent } from '../contracts/events.js';
import type { FeedItem } from '../client/event-feed.js';
import { createColourText, type ColourText } from '../guest/colour-text.js';
import { createEventText, toPlain } from './event-text.js';

/** Output is set in by this much. */
const MARGIN = '  ';
const COLOURS_OFF = '\u001b[0m';

/** A part as far as it is on the screen. */
interface Shown {
  readonly name: string;
  readonly colours: ColourText;
  /** Without colours. */
  text: string;
  isColoured: boolean;
}

/** Answers what to write for one item after the other. */
export function createLiveEventText(): (item: FeedItem) => string {
  const toText = createEventText();
  let part: Shown | undefined;
  let isLineOpen = false;

  function note(text: string): string {
    if (text !== '') isLineOpen = !text.endsWith('\n');
    return text;
  }

  /** Ends what is open, so that something else may follow. */
  function close(): string {
    const ending = `${part?.isColoured === true ? COLOURS_OFF : ''}${isLineOpen ? '\n' : ''}`;
    part = undefined;
    isLineOpen = false;
    return ending;
  }

  function line(text: string | undefined): string {
    return text === undefined || text === '' ? '' : `${close()}${text}\n`;
  }

  /** The next piece of a part, set in where it is output. */
  function piece(text: string, isOutput: boolean): string {
    if (!isOutput) return note(text);
    const start = isLineOpen || text === '' ? '' : MARGIN;
    return note(start + text.replace(/\n(?=.)/gs, `\n${MARGIN}`).replace(/\r(?!\n)/g, `\r${MARGIN}`));
  }

  function showDelta({ turnId, step, index, body }: TurnDelta): string {
    if (body.type === 'call.delta') return ''; // The command is shown as it starts.
    if (body.type === 'part.restarted') return part === undefined ? '' : line('· begins anew');
    if (body.type === 'part.resync') return `${close()}${note('…')}`;
    const name = JSON.stringify([turnId, step, index]);
    const before = part?.name === name ? '' : close();
    const isOutput = body.type === 'output.delta';
    const shown = (part ??= { name, colours: createColourText(), text: '', isColoured: false });
    let text = shown.colours.push(Buffer.from(body.text));
    if (shown.text === '' && !isOutput) text = text.trimStart();
    const plain = toPlain(text);
    shown.isColoured ||= plain.length !== text.length && text.includes('\u001b');
    shown.text += plain;
    return before + piece(text, isOutput);
  }

  function showEvent(event: TurnEvent): string {
    const { turnId, body } = event;
    const whole = toText(event);
    if (body.type !== 'step.answered' && body.type !== 'command.ended') return line(whole);
    const isOutput = body.type === 'command.ended';
    const name = JSON.stringify([turnId, body.step, isOutput ? body.index : null]);
    if (part?.name !== name || part.text.trim() === '') return line(whole);
    const { text } = part;
    const off = part.isColoured ? COLOURS_OFF : '';
    part.isColoured = false;
    const full = isOutput ? toPlain(body.output).trimEnd() : toPlain(body.text).trim();
    if (full.startsWith(text)) return off + piece(full.slice(text.length), isOutput) + close();
    if (text.trimEnd() === full) return off + close();
    // Shortened, or not what was said live: of an output its last line says how it ended, an answer is said again.
    return off + line(isOutput ? `${MARGIN}${full.slice(full.lastIndexOf('\n') + 1)}` : whole);
  }

  return (item) => ('event' in item ? showEvent(item.event) : showDelta(item.delta));
}
