/** What a key pressed in the message box means. */

export interface PressedKey {
  readonly key: string;
  readonly shiftKey: boolean;
  readonly altKey: boolean;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  /** An input method is composing characters: its Enter takes the suggestion. */
  readonly isComposing: boolean;
}

/** `isTouch`: there is a button to send by, and Enter is the only way to a new line. */
export function isSend(pressed: PressedKey, { isTouch }: { readonly isTouch: boolean }): boolean {
  if (pressed.key !== 'Enter' || pressed.isComposing) return false;
  if (pressed.ctrlKey || pressed.metaKey) return true;
  return !isTouch && !pressed.shiftKey && !pressed.altKey;
}

/** Rows by which a key scrolls what has this many rows in sight; undefined: it does not. */
export function rowsOf(key: string, rows: number): number | undefined {
  const page = Math.max(1, rows - 1);
  return { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity }[key];
}
