/** Ids of messages. */

const source: { randomUUID?(): string; getRandomValues(bytes: Uint8Array<ArrayBuffer>): Uint8Array } =
  globalThis.crypto;

/** `randomUUID` is there over TLS and on this computer only; elsewhere as much is made by hand. */
export function newTurnId(): string {
  if (source.randomUUID !== undefined) return source.randomUUID();
  const bytes = source.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
