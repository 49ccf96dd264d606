/** Takes terminal control out of text, for whoever reads it as text: the model, a log, a page. */

/* eslint-disable no-control-regex -- control characters are what is taken out */
/** Operating system commands, device control and other strings, ended by BEL or ST; an unended one reaches to the line's end. */
const STRINGS =
  /(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0007\u001b\u009c\n]*(?:\u0007|\u001b\\|\u009c)?/g;
const SEQUENCES = /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]?/g;
const ESCAPES = /\u001b[ -/]*[0-~]?/g;
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
/* eslint-enable no-control-regex */

/**
 * Text without control sequences. A line that redraws itself by carriage returns, as progress bars do, is shown as it stood
 * at its end. Tabs and newlines stay.
 */
export function stripControl(text: string): string {
  const plain = text.replace(STRINGS, '').replace(SEQUENCES, '').replace(ESCAPES, '');
  const lines = plain.includes('\r') ? plain.split('\n').map(lastDrawing).join('\n') : plain;
  return lines.replace(CONTROLS, '');
}

function lastDrawing(line: string): string {
  const drawings = line.split('\r');
  return drawings.findLast((drawing) => drawing !== '') ?? '';
}
