/**
 * What a reader was told of a text while it was made, beside what it turns out to be. A model that is asked again says the same once more,
 * which is not told twice, or something else, which makes void what was told. No I/O.
 */

export interface Telling {
  /** What was told is no beginning of the text. */
  readonly isVoid: boolean;
  /** What is to be told now: behind what was told before or, where that is void, in its place. */
  readonly more: string;
}

const NOTHING: Telling = { isVoid: false, more: '' };

export class ToldText {
  #told = '';
  /** The end of what was told that the newest try has not said again yet. */
  #due = '';
  /** A piece is missing: nothing more is told before the text is whole. */
  #isLost = false;

  /** The next piece of the newest try. */
  hear(text: string): Telling {
    if (this.#isLost) return NOTHING;
    const due = this.#due;
    if (due.startsWith(text)) {
      this.#due = due.slice(text.length);
      return NOTHING;
    }
    this.#due = '';
    if (text.startsWith(due)) return this.#goOn(text.slice(due.length));
    return this.#beginAnew(this.#told.slice(0, this.#told.length - due.length) + text);
  }

  /** Another try begins. */
  restart(): void {
    this.#due = this.#told;
    this.#isLost = false;
  }

  /** Pieces were left out here. */
  lose(): void {
    this.#isLost = true;
  }

  /** The text is whole. */
  settle(whole: string): Telling {
    return whole.startsWith(this.#told) ? this.#goOn(whole.slice(this.#told.length)) : this.#beginAnew(whole);
  }

  #goOn(more: string): Telling {
    this.#told += more;
    return { isVoid: false, more };
  }

  #beginAnew(text: string): Telling {
    this.#told = text;
    return { isVoid: true, more: text };
  }
}
