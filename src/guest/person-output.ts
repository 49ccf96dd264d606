/** A new terminal's output until it is a person's: the start line's echo and whatever comes before the runner's word is nobody's. */
import { InnkeeperError } from '../contracts/errors.js';
import type { Terminal } from '../machines/provider.js';
import { PERSON_HELLO_BYTES_MAX, PERSON_HELLO_MS_MAX } from './bounds.js';
import { FrameReader } from './wire.js';

const NEWLINE = 0x0a;

type Listener = (bytes: Uint8Array) => void;
/** `hello`: what follows is the person's. `missing`: the shell has no runner. */
type Word = 'hello' | 'missing';

export interface PersonOutput {
  /** @throws InnkeeperError GUEST_UNREACHABLE; the signal's reason */
  firstWord(signal: AbortSignal): Promise<Word>;
  /** Everything behind the hello, in order. One listener. */
  hear(listener: Listener): void;
}

/** Listens to the terminal from here on. */
export function createPersonOutput(terminal: Terminal, tag: string): PersonOutput {
  let listener: Listener | undefined;
  let isPersons = false;
  let held = Buffer.alloc(0);
  let onWord: ((word: Word | InnkeeperError) => void) | undefined;

  terminal.onOutput((bytes) => {
    if (isPersons && listener !== undefined) return listener(bytes);
    held = Buffer.concat([held, bytes]);
    if (isPersons) return;
    const said = readWord(held, tag);
    if (said !== undefined) {
      held = held.subarray(said.end);
      isPersons = said.word === 'hello';
      // Until somebody hears the rest.
      if (isPersons) terminal.pause(true);
      onWord?.(said.word);
    } else if (held.length > PERSON_HELLO_BYTES_MAX) {
      onWord?.(unreachable('The shell of the terminal does not stop talking.'));
    }
  });
  void terminal.closed.then(({ reason }) => onWord?.(unreachable(`The terminal has ended: ${reason || 'no reason'}.`)));

  return {
    async firstWord(signal) {
      signal.throwIfAborted();
      const late = AbortSignal.timeout(PERSON_HELLO_MS_MAX);
      const either = AbortSignal.any([signal, late]);
      const word = await new Promise<Word | InnkeeperError>((resolve) => {
        onWord = resolve;
        either.addEventListener('abort', () =>
          resolve(unreachable('The shell of the terminal does not start the runner.')),
        );
      });
      onWord = undefined;
      if (word instanceof InnkeeperError) {
        signal.throwIfAborted();
        throw word;
      }
      return word;
    },
    hear(next) {
      listener = next;
      const rest = held;
      held = Buffer.alloc(0);
      if (rest.length > 0) next(rest);
      terminal.pause(false);
    },
  };
}

/** The runner's word, and where the line ends that holds it. */
function readWord(bytes: Buffer, tag: string): { word: Word; end: number } | undefined {
  const trailer = bytes.lastIndexOf(`\u001d${tag}`);
  if (trailer < 0) return undefined;
  const newline = bytes.indexOf(NEWLINE, trailer);
  if (newline < 0) return undefined;
  const kind = new FrameReader(tag).push(bytes).at(-1)?.kind;
  return kind === 'hello' || kind === 'missing' ? { word: kind, end: newline + 1 } : undefined;
}

function unreachable(message: string): InnkeeperError {
  return new InnkeeperError('GUEST_UNREACHABLE', message);
}
