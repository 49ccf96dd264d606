/**
 * What a machine prints moves the cursor and draws, and does nothing else: no question is answered, since an answer would be typed into
 * whatever reads; no title, no link, no colour of the page's, and nothing of the clipboard. Keys and the mouse are the person's own.
 */
import type { Terminal } from '@xterm/xterm';

/** Operating system commands that xterm.js knows, and the clipboard's: titles, colours and their questions, links. */
const STRINGS = [0, 1, 2, 4, 8, 10, 11, 12, 52, 104, 110, 111, 112];
/** Who and where are you, which mode is on, how large is the window. */
const QUESTIONS = [
  { final: 'c' },
  { prefix: '>', final: 'c' },
  { prefix: '=', final: 'c' },
  { final: 'n' },
  { prefix: '?', final: 'n' },
  { intermediates: '$', final: 'p' },
  { prefix: '?', intermediates: '$', final: 'p' },
  { prefix: '>', final: 'q' },
  { final: 't' },
];
/** Tells whenever the page gets or loses the focus. */
const FOCUS_REPORTS = 1004;

const swallow = (): boolean => true;

export function withoutAnswers({ parser }: Terminal): void {
  for (const each of STRINGS) parser.registerOscHandler(each, swallow);
  for (const question of QUESTIONS) parser.registerCsiHandler(question, swallow);
  parser.registerDcsHandler({ intermediates: '$', final: 'q' }, swallow);
  parser.registerCsiHandler({ prefix: '?', final: 'h' }, (modes) => modes.includes(FOCUS_REPORTS));
}
