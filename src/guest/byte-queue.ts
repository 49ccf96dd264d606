/** Bytes that wait to be understood: grows by doubling, so that many small pieces cost no more than one large one. */

const CAPACITY_BYTES_MIN = 4_096;
/** An empty queue keeps no more than this: a worker holds one for each of its terminals. */
const IDLE_CAPACITY_BYTES_MAX = 256 * 1024;

export class ByteQueue {
  #bytes: Buffer = Buffer.allocUnsafe(CAPACITY_BYTES_MIN);
  #start = 0;
  #end = 0;

  get length(): number {
    return this.#end - this.#start;
  }

  /** What waits; valid until the next change. */
  get view(): Buffer {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  append(piece: Uint8Array): void {
    if (this.#end + piece.length > this.#bytes.length) this.#move(2 * (this.length + piece.length));
    this.#bytes.set(piece, this.#end);
    this.#end += piece.length;
  }

  /** Takes bytes from the front. */
  drop(count: number): void {
    this.#start = Math.min(this.#end, this.#start + count);
    if (this.#start < this.#end) return;
    this.#start = this.#end = 0;
    if (this.#bytes.length > IDLE_CAPACITY_BYTES_MAX) this.#bytes = Buffer.allocUnsafe(CAPACITY_BYTES_MIN);
  }

  #move(capacityBytes: number): void {
    const waiting = this.view;
    const bytes = Buffer.allocUnsafe(Math.max(CAPACITY_BYTES_MIN, capacityBytes));
    bytes.set(waiting);
    this.#bytes = bytes;
    this.#start = 0;
    this.#end = waiting.length;
  }
}
