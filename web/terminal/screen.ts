/** The terminal on the page: xterm.js, which only shows. Nothing typed into it goes anywhere, and nothing printed is answered. */
import { FitAddon } from '@xterm/addon-fit';
import { Terminal, type ITheme } from '@xterm/xterm';
import { rowsOf } from '../text/keys.js';
import { toDrawing, type Piece } from './script.js';
import { withStrictStyles } from './strict-styles.js';

const SCROLLBACK_ROWS = 5_000;
const WIPE = '\u001bc';

const LIGHT: ITheme = {
  ...{ background: '#f6f7f8', foreground: '#1d2125', cursor: '#f6f7f8', selectionBackground: '#b9d4ef' },
  ...{ black: '#1d2125', red: '#a8201a', green: '#1a6b34', yellow: '#7a4b00', blue: '#0b57a4', magenta: '#8a2a83' },
  ...{ cyan: '#0d6470', white: '#596068', brightBlack: '#596068', brightRed: '#c22a22', brightGreen: '#1f7d3e' },
  ...{ brightYellow: '#8a5300', brightBlue: '#1a6cc0', brightMagenta: '#a0369a', brightCyan: '#127685' },
  brightWhite: '#1d2125',
};
const DARK: ITheme = {
  ...{ background: '#101316', foreground: '#e3e6e8', cursor: '#101316', selectionBackground: '#2f4a66' },
  ...{ black: '#343a40', red: '#f08a80', green: '#6fcf8a', yellow: '#e0b050', blue: '#7db4f0', magenta: '#d99bd4' },
  ...{ cyan: '#6cc7d4', white: '#cfd4d8', brightBlack: '#8b949c', brightRed: '#ffa59c', brightGreen: '#8fe3a6' },
  ...{ brightYellow: '#f0c878', brightBlue: '#a0caf7', brightMagenta: '#e8b8e4', brightCyan: '#93dbe6' },
  brightWhite: '#ffffff',
};

export interface Screen {
  show(pieces: readonly Piece[]): void;
  /** True: the key was one that scrolls. */
  scrollBy(key: string): boolean;
  close(): void;
}

export function openScreen(host: HTMLElement): Screen {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const terminal = new Terminal({
    disableStdin: true,
    convertEol: true,
    cursorInactiveStyle: 'none',
    scrollback: SCROLLBACK_ROWS,
    fontFamily: 'ui-monospace, "SFMono-Regular", Menlo, Consolas, "Liberation Mono", monospace',
    fontSize: 12,
    theme: dark.matches ? DARK : LIGHT,
    // Colours that commands choose are legible in both.
    minimumContrastRatio: 4.5,
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  withStrictStyles(() => terminal.open(host));
  // Keys stay with the page, Tab above all: the region around it scrolls by keys, and is what the focus stops at.
  terminal.attachCustomKeyEventHandler(() => false);
  if (terminal.textarea !== undefined) terminal.textarea.tabIndex = -1;
  const onScheme = (): void => {
    terminal.options.theme = dark.matches ? DARK : LIGHT;
  };
  dark.addEventListener('change', onScheme);
  const resized = new ResizeObserver(() => fit.fit());
  resized.observe(host);
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
    close() {
      resized.disconnect();
      dark.removeEventListener('change', onScheme);
      terminal.dispose();
    },
  };
}
