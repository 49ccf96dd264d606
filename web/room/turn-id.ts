/** Ids of messages. */

/** `crypto.randomUUID` is there over TLS and on this computer only; elsewhere the same is made by hand. */
export function newTurnId(): string {
  const { crypto } = globalThis;
  if ('randomUUID' in crypto) return crypto.randomUUID();
  const bytes = (crypto as Crypto).getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
