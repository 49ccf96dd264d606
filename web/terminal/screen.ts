/** The terminal on the page: xterm.js, which only shows. Nothing typed into it goes anywhere, and nothing printed is answered. */
import { Terminal } from '@xterm/xterm';
import { rowsOf } from '../text/keys.js';
import { LOOK, openLook } from './look.js';
import { toDrawing, type Piece } from './script.js';

const WIPE = '\u001bc';

export interface Screen {
  show(pieces: readonly Piece[]): void;
  /** True: the key was one that scrolls. */
  scrollBy(key: string): boolean;
  close(): void;
}

export function openScreen(host: HTMLElement): Screen {
  const terminal = new Terminal({ ...LOOK, disableStdin: true, convertEol: true, cursorInactiveStyle: 'none' });
  const close = openLook(terminal, host, { hasCursor: false });
  // Keys stay with the page, Tab above all: the region around it scrolls by keys, and is what the focus stops at.
  terminal.attachCustomKeyEventHandler(() => false);
  if (terminal.textarea !== undefined) terminal.textarea.tabIndex = -1;
  let drawn: readonly Piece[] = [];

  return {
    show(pieces) {
      const { isAnew, text } = toDrawing(drawn, pieces);
      drawn = pieces;
      if (isAnew || text !== '') terminal.write(isAnew ? WIPE + text : text);
    },
    scrollBy(key) {
      const rows = rowsOf(key, terminal.rows);
      if (rows === undefined) return false;
      if (rows === Infinity) terminal.scrollToBottom();
      else if (rows === -Infinity) terminal.scrollToTop();
      else terminal.scrollLines(rows);
      return true;
    },
    close,
  };
}
