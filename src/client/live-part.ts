/** The live text of one user's part that is being made, as it became known to this process. No I/O. */
import type { DeltaPlace, TurnDeltaBody } from '../contracts/events.js';
import { FEED_PART_BYTES_MAX } from '../contracts/limits.js';

/** A part's names. */
export interface PartName {
  readonly turnId: string;
  readonly step: number;
  readonly index: number;
}

export interface PlacedBody extends DeltaPlace {
  readonly body: TurnDeltaBody;
}

/** What became of a delta that was told. */
export type Taken = 'taken' | 'known' | 'gap';

const sizeOf = (body: TurnDeltaBody): number => Buffer.byteLength(JSON.stringify(body));

export class LivePart {
  readonly name: PartName;
  /** Of the newest try. */
  #try = 0;
  #deltas: PlacedBody[] = [];
  #bytes = 0;

  constructor(name: PartName) {
    this.name = name;
  }

  is({ turnId, step, index }: PartName): boolean {
    return this.name.turnId === turnId && this.name.step === step && this.name.index === index;
  }

  /** `gap`: something before it is missing; nothing was taken. */
  take(delta: PlacedBody): Taken {
    if (delta.try < this.#try) return 'known';
    const isNewTry = delta.try > this.#try;
    const last = isNewTry ? undefined : this.#deltas.at(-1)?.n;
    if (last !== undefined && delta.n <= last) return 'known';
    if (delta.n > (last ?? 0) + 1) return 'gap';
    if (isNewTry) this.#begin(delta.try);
    this.#push(delta);
    return 'taken';
  }

  /** Takes one whose predecessors nobody has any more; what is missing is said in the place of the last that is. */
  takeAfterGap(delta: PlacedBody): void {
    if (this.take(delta) !== 'gap') return;
    if (delta.try > this.#try) this.#begin(delta.try);
    this.#push({ try: delta.try, n: delta.n - 1, body: { type: 'part.resync' } });
    this.#push(delta);
  }

  /** What a follower lacks that has heard of the part as far as `place`; (0, 0): nothing. */
  after(place: DeltaPlace): readonly PlacedBody[] {
    const lacking =
      place.try === this.#try ? this.#deltas.filter(({ n }) => n > place.n) : place.try < this.#try ? this.#deltas : [];
    const [first] = lacking;
    if (first === undefined) return [];
    const isNewTry = place.try > 0 && place.try < this.#try;
    // It has heard an older try, and the word that it is void is lost.
    if (isNewTry && first.n > 0) return [{ try: this.#try, n: 0, body: { type: 'part.restarted' } }, ...lacking];
    // Nobody keeps all of a long part.
    const heard = place.try === this.#try ? place.n : 0;
    if (first.n > heard + 1 && first.body.type !== 'part.resync') {
      return [{ try: this.#try, n: first.n - 1, body: { type: 'part.resync' } }, ...lacking];
    }
    return lacking;
  }

  #begin(attempt: number): void {
    this.#try = attempt;
    this.#deltas = [];
    this.#bytes = 0;
  }

  #push(delta: PlacedBody): void {
    this.#deltas.push(delta);
    this.#bytes += sizeOf(delta.body);
    while (this.#bytes > FEED_PART_BYTES_MAX) this.#bytes -= sizeOf(this.#deltas.shift()!.body);
  }
}
