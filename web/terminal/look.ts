/** How the page's terminals look: by day and by night, legible in both whatever colours commands choose. */
import { FitAddon } from '@xterm/addon-fit';
import type { ITerminalOptions, ITheme, Terminal } from '@xterm/xterm';
import { withStrictStyles } from './strict-styles.js';

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

const SCROLLBACK_ROWS = 5_000;

export const LOOK: ITerminalOptions = {
  scrollback: SCROLLBACK_ROWS,
  fontFamily: 'ui-monospace, "SFMono-Regular", Menlo, Consolas, "Liberation Mono", monospace',
  fontSize: 12,
  minimumContrastRatio: 4.5,
};

/** Opens the terminal in its host, which it fills from here on. Answers how that is ended. */
export function openLook(
  terminal: Terminal,
  host: HTMLElement,
  { hasCursor }: { readonly hasCursor: boolean },
): () => void {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const onScheme = (): void => {
    const theme = dark.matches ? DARK : LIGHT;
    terminal.options.theme = hasCursor ? { ...theme, cursor: theme.foreground ?? '' } : theme;
  };
  onScheme();
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  withStrictStyles(() => terminal.open(host));
  dark.addEventListener('change', onScheme);
  const resized = new ResizeObserver(() => fit.fit());
  resized.observe(host);
  return () => {
    resized.disconnect();
    dark.removeEventListener('change', onScheme);
    terminal.dispose();
  };
}
