/** A raw terminal with the runner behind it, as a channel of frames. Knows nothing of commands. */
import { InnkeeperError } from '../contracts/errors.js';
import type { Terminal } from '../machines/provider.js';
import { FrameReader, type Frame } from './wire.js';

/** Hears every frame; undefined: the channel broke. */
type Listener = (frame: Frame | undefined) => void;

export class TerminalChannel {
  readonly tag: string;
  readonly #terminal: Terminal;
  readonly #listeners = new Set<Listener>();
  #failure: InnkeeperError | undefined;
  /** performance.now() of the last frame. */
  heardAtMs = performance.now();

  constructor(terminal: Terminal, tag: string) {
    this.#terminal = terminal;
    this.tag = tag;
    const reader = new FrameReader(tag);
    terminal.onOutput((bytes) => {
      for (const frame of reader.push(bytes)) {
        this.heardAtMs = performance.now();
        for (const listener of [...this.#listeners]) listener(frame);
      }
    });
    void terminal.closed.then(({ reason }) => {
      this.#fail(
        new InnkeeperError('GUEST_UNREACHABLE', `The terminal of the machine has ended: ${reason || 'no reason'}.`),
      );
    });
  }

  /** Why nothing can be asked here any more; undefined while the channel is good. */
  get failure(): InnkeeperError | undefined {
    return this.#failure;
  }

  /** Sends bytes as one frame; a socket that no longer takes them breaks the channel. */
  send(bytes: Uint8Array): void {
    if (this.#failure !== undefined) return;
    try {
      this.#terminal.write(bytes);
    } catch (error) {
      void this.break(
        InnkeeperError.is(error) ? error : new InnkeeperError('GUEST_UNREACHABLE', 'The terminal takes no input.'),
      );
    }
  }

  /** Calls the listener for every frame until the answer is called. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Gives the channel up, for this reason, and closes the terminal. */
  async break(reason: InnkeeperError): Promise<void> {
    this.#fail(reason);
    await this.#terminal.close();
  }

  #fail(reason: InnkeeperError): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    for (const listener of [...this.#listeners]) listener(undefined);
    this.#listeners.clear();
  }
}
