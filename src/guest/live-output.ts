/** The output of a command as it comes: pieces that the machine pushes, put in order. What is lost or doubled on its way shows by its offset. */
import { LIVE_OUTPUT_BYTES_MAX } from '../contracts/limits.js';
import type { OutputListener } from './guest.js';
import { readCount, type Frame } from './wire.js';

/** Begins the mark that the runner writes behind an output to find its end. */
const MARK_START = 0x1e;

export interface LiveOutput {
  /** From where the machine is to go on; undefined: no more is wanted. */
  readonly offset: number | undefined;
  /** False: something is missing before this piece, so that it must be sent again. */
  take(frame: Frame): boolean;
}

export function createLiveOutput(listener: OutputListener | undefined): LiveOutput {
  let isMarked = false;
  const wanted = (): OutputListener | undefined =>
    isMarked || listener === undefined || listener.offset >= LIVE_OUTPUT_BYTES_MAX ? undefined : listener;
  return {
    get offset() {
      return wanted()?.offset;
    },
    take({ fields, body }) {
      const from = readCount(fields, 'offset');
      const to = wanted();
      if (to === undefined || from === undefined || body.length === 0) return true;
      if (from > to.offset) return false;
      const piece = body.subarray(to.offset - from);
      const end = piece.indexOf(MARK_START);
      isMarked = end >= 0;
      const heard = isMarked ? piece.subarray(0, end) : piece;
      if (heard.length > 0) to.hear(heard);
      return true;
    },
  };
}
