/** What a tool call does, read from the part of its arguments that the model has written so far. */

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f' };
/** The arguments that say it, by our tools' schemas. */
const TELLING = /"(?:command|path)"\s*:\s*"/;

/** Text of the telling argument as far as it has come; empty: it has not begun. */
export function partialArgument(argumentsJson: string): string {
  const match = TELLING.exec(argumentsJson);
  if (match === null) return '';
  let text = '';
  for (let at = match.index + match[0].length; at < argumentsJson.length; at += 1) {
    const character = argumentsJson.charAt(at);
    if (character === '"') break;
    if (character !== '\\') {
      text += character;
      continue;
    }
    at += 1;
    const escaped = argumentsJson.charAt(at);
    if (escaped !== 'u') {
      text += ESCAPES[escaped] ?? escaped;
      continue;
    }
    const code = argumentsJson.slice(at + 1, at + 5);
    if (!/^[0-9a-fA-F]{4}$/.test(code)) break; // It is cut here.
    text += String.fromCharCode(Number.parseInt(code, 16));
    at += 4;
  }
  return text;
}
