/** Takes out of a provider's words what must reach no log, history or model: our keys, and control characters. */

const MESSAGE_CHARACTERS_MAX = 500;
const SECRET_LENGTH_MIN = 6;

export function createRedactor(secrets: readonly string[]): (text: string) => string {
  const known = secrets.filter((secret) => secret.length >= SECRET_LENGTH_MIN);
  return (text) => {
    let clean = text;
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
