/** A shell on the page: xterm.js with the keys. What is pasted is text, of a bounded length, and a shell that can tell is told so. */
import { Terminal } from '@xterm/xterm';
import { TERMINAL_PASTE_BYTES_MAX } from '../../src/contracts/limits.js';
import { LOOK, openLook } from './look.js';
import { withoutAnswers } from './no-answers.js';

export interface LiveScreen {
  write(bytes: Uint8Array): void;
  focus(): void;
  close(): void;
}

export interface LiveScreenOptions {
  onType(text: string): void;
  onResize(size: { readonly columns: number; readonly rows: number }): void;
  /** The key that leaves it. */
  onLeave(): void;
  /** A paste was longer than is taken. */
  onPasteRefused(): void;
}

/** Every other key is the shell's, Tab above all. */
export const LEAVE_KEY = 'F6';

export function openLiveScreen(host: HTMLElement, options: LiveScreenOptions): LiveScreen {
  const terminal = new Terminal({ ...LOOK, cursorBlink: true, screenReaderMode: true });
  withoutAnswers(terminal);
  terminal.onData(options.onType);
  terminal.onResize(({ cols, rows }) => options.onResize({ columns: cols, rows }));
  terminal.attachCustomKeyEventHandler((event) => {
    if (event.key !== LEAVE_KEY) return true;
    event.preventDefault();
    if (event.type === 'keydown') options.onLeave();
    return false;
  });
  const close = openLook(terminal, host, { hasCursor: true });
  const onPaste = (event: ClipboardEvent): void => {
    event.preventDefault();
    event.stopPropagation();
    const text = toPasted(event.clipboardData?.getData('text/plain') ?? '');
    if (new TextEncoder().encode(text).length > TERMINAL_PASTE_BYTES_MAX) options.onPasteRefused();
    else terminal.paste(text);
  };
  host.addEventListener('paste', onPaste, { capture: true });
  return {
    write: (bytes) => terminal.write(bytes),
    focus: () => terminal.focus(),
    close() {
      host.removeEventListener('paste', onPaste, { capture: true });
      close();
    },
  };
}

/** Without what could end the brackets around it, or press a key. */
function toPasted(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what is taken out
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g, '');
}
