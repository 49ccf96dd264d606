/** Shortens text to its head and its tail, by bytes, with a note of what is missing between. Pure. */

/** Kept of a text is at least this much besides the note; smaller limits are treated as this. */
export const SHORTEN_BYTES_MIN = 96;

/**
 * `text` unchanged where it has at most `bytesMax` bytes of UTF-8 (and no broken surrogates); else its beginning and its end
 * around `[... n bytes left out ...]`, within `bytesMax`, never cutting a character.
 */
export function shortenMiddle(text: string, bytesMax: number): string {
  const limit = Math.max(bytesMax, SHORTEN_BYTES_MIN);
  if (text.length <= limit / 3) return text;
  const bytes = Buffer.from(text);
  if (bytes.length <= limit) return text;
  const room = limit - Buffer.byteLength(noteText(bytes.length));
  const head = backToCharacter(bytes, Math.ceil(room / 2));
  const tail = forwardToCharacter(bytes, bytes.length - Math.floor(room / 2));
  return bytes.toString('utf8', 0, head) + noteText(tail - head) + bytes.toString('utf8', tail);
}

function noteText(bytes: number): string {
  return `\n[... ${bytes} bytes left out ...]\n`;
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

function backToCharacter(bytes: Buffer, at: number): number {
  let place = at;
  while (place > 0 && isContinuation(bytes[place])) place -= 1;
  return place;
}

function forwardToCharacter(bytes: Buffer, at: number): number {
  let place = at;
  while (place < bytes.length && isContinuation(bytes[place])) place += 1;
  return place;
}
