/** Hostile text -> text that shows what it is: no control sequences, and nothing that turns the order of characters around. */
import { stripControl } from '../../src/guest/strip-control.js';

/** Embeddings, overrides and isolates of direction, and what has no width: a command would look like another. */
const DECEPTIVE = /[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g;

/** For commands and output: what would deceive is shown by its code point. */
export function plainText(text: string): string {
  return stripControl(text).replace(DECEPTIVE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}

/** The end of a long text, from a line's beginning on. */
export function tailOf(text: string, charactersMax: number): string {
  if (text.length <= charactersMax) return text;
  const from = text.length - charactersMax;
  const line = text.indexOf('\n', from);
  return `…\n${text.slice(line === -1 ? from : line + 1)}`;
}
