/** Single values out of a provider's JSON. None of these throws, whatever was sent. */

const ID_CHARACTERS_MAX = 256;

/**
 * An id that can stand in a path and in a row of Postgres: text without white space, control characters and broken Unicode.
 * undefined for anything else, and for what a URL takes for a folder.
 */
export function readId(value: unknown): string | undefined {
  if (typeof value !== 'string' || value.length > ID_CHARACTERS_MAX) return undefined;
  return /^[^\s\p{C}]+$/u.test(value) && value !== '.' && value !== '..' ? value : undefined;
}

/** Words for a message; empty for what is none. Not every value of JSON can be made a text: `{ "toString": 1 }` cannot. */
export function readWords(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}
