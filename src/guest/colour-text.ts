/**
 * Bytes of a terminal's output, in pieces of any size -> text that is safe to show as it comes. Of all control sequences only colours
 * and the like (SGR) stay: no title, no clipboard, no cursor, no question that a terminal would answer.
 */

/** Longest colour sequence that is passed on: several true colours fit. */
const PARAMETERS_MAX = 64;
const ESC = '\u001b';

/**
 * `text`; `escape`: behind ESC; `sequence`: within CSI, `parameters` so far; `string`: within OSC, DCS and the like, to their end
 * or the end of the line; `string_escape`: behind an ESC in one.
 */
type State = 'text' | 'escape' | 'sequence' | 'string' | 'string_escape';

export interface ColourText {
  /** The text that is complete by these bytes. */
  push(bytes: Uint8Array): string;
}

export function createColourText(): ColourText {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let state: State = 'text';
  let parameters = '';

  function take(character: string): string {
    switch (state) {
      case 'text':
        return takeText(character);
      case 'escape':
        return takeEscape(character);
      case 'sequence':
        return takeSequence(character);
      case 'string':
        if (character === ESC) state = 'string_escape';
        else if (character === '\u0007' || character === '\u009c') state = 'text';
        else if (character === '\n') return restart(character);
        return '';
      case 'string_escape':
        // Its end, or the beginning of another sequence.
        if (character === '\\') {
          state = 'text';
          return '';
        }
        state = 'escape';
        return takeEscape(character);
    }
  }

  function restart(character: string): string {
    state = 'text';
    return takeText(character);
  }

  function takeText(character: string): string {
    if (character === ESC) state = 'escape';
    else if (character === '\u009b') beginSequence();
    else if (isStringStart(character)) state = 'string';
    else if (isShown(character)) return character;
    return '';
  }

  function takeEscape(character: string): string {
    if (character === '[') beginSequence();
    else if (']PX^_'.includes(character)) state = 'string';
    // Intermediate characters; the next one ends it.
    else if (!isBetween(character, ' ', '/')) return isBetween(character, '0', '~') ? end() : restart(character);
    return '';
  }

  function end(): string {
    state = 'text';
    return '';
  }

  function beginSequence(): void {
    state = 'sequence';
    parameters = '';
  }

  function takeSequence(character: string): string {
    if (isBetween(character, ' ', '?')) {
      if (parameters.length <= PARAMETERS_MAX) parameters += character;
      return '';
    }
    if (!isBetween(character, '@', '~')) return restart(character);
    state = 'text';
    const isColour = character === 'm' && parameters.length <= PARAMETERS_MAX && /^[\d;:]*$/.test(parameters);
    return isColour ? `${ESC}[${parameters}m` : '';
  }

  return {
    push(bytes) {
      let text = '';
      for (const character of decoder.decode(bytes, { stream: true })) text += take(character);
      return text;
    },
  };
}

function isBetween(character: string, first: string, last: string): boolean {
  return character >= first && character <= last;
}

function isStringStart(character: string): boolean {
  return '\u009d\u0090\u0098\u009e\u009f'.includes(character);
}

/** Text, line ends, tabs, and the carriage return of lines that redraw themselves. */
function isShown(character: string): boolean {
  if (character === '\n' || character === '\t' || character === '\r') return true;
  return character >= ' ' && !isBetween(character, '\u007f', '\u009f');
}
