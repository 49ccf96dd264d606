/** Takes out of a provider's words what must reach no log, history or model: our keys, and control characters. */

const MESSAGE_CHARACTERS_MAX = 500;
const SECRET_LENGTH_MIN = 6;
/** Of a longer text only the beginning is looked at: the search for addresses takes time by the square of the length. */
const CHARACTERS_READ_MAX = 8 * 1024;

export function createRedactor(secrets: readonly string[]): (text: string) => string {
  const known = secrets.filter((secret) => secret.length >= SECRET_LENGTH_MIN);
  return (text) => {
    let clean = beginningOf(text, known);
    for (const secret of known) clean = clean.replaceAll(secret, '[key]');
    clean = clean
      .replace(/\b(bearer)\s+\S+/gi, '$1 [key]')
      .replace(/\bdsk-[\w-]{6,}/g, '[key]')
      .replace(/\b((?:wss?|https?):\/\/[^\s?#"']+)[?#][^\s"']*/gi, '$1?[query]')
      // eslint-disable-next-line no-control-regex -- control characters are what is taken out
      .replace(/[\s\u0000-\u001f\u007f-\u009f]+/g, ' ')
      .trim();
    return clean.length > MESSAGE_CHARACTERS_MAX ? `${clean.slice(0, MESSAGE_CHARACTERS_MAX)}…` : clean;
  };
}

/** The part of a text that is looked at, without a secret's beginning at its end: cut off there, it would not be recognized. */
function beginningOf(text: string, secrets: readonly string[]): string {
  if (text.length <= CHARACTERS_READ_MAX) return text;
  const beginning = text.slice(0, CHARACTERS_READ_MAX);
  const lengths = secrets.flatMap((secret) =>
    Array.from({ length: secret.length - 1 }, (_, n) => secret.slice(0, n + 1)),
  );
  const cut = Math.max(0, ...lengths.filter((start) => beginning.endsWith(start)).map((start) => start.length));
  return beginning.slice(0, beginning.length - cut);
}
