/**
 * Bounds what is held of a model service's answer: a JSON body by its length, a stream by the length of one event. Events are
 * handed on whole: the library searches all it holds at each piece, so that an event in single bytes would take hours.
 */
import { boundBody, throughBody } from '../contracts/bounded-body.js';

/** A whole answer of MODEL_ANSWER_BYTES_MAX in one event, each of its bytes escaped as `\u0000`, with room for the rest. */
export const EVENT_BYTES_MAX = 2 * 1024 * 1024;
/** An answer that is no stream: a completion or an error. */
export const JSON_BYTES_MAX = 8 * 1024 * 1024;
const CAPACITY_BYTES_MIN = 4_096;

export function boundAnswer(response: Response): Response {
  const isStream = response.ok && !/\bjson\b/i.test(response.headers.get('content-type') ?? '');
  return isStream ? throughBody(response, wholeEvents()) : boundBody(response, JSON_BYTES_MAX);
}

/** Ends of an event: a blank line, in each way to end lines. */
const isEventEnd = (lastFour: number): boolean =>
  (lastFour & 0xffff) === 0x0a0a || (lastFour & 0xffff) === 0x0d0d || lastFour >>> 0 === 0x0d0a0d0a;

function wholeEvents(): TransformStream<Uint8Array, Uint8Array> {
  let held = new Uint8Array(CAPACITY_BYTES_MIN);
  let heldBytes = 0;
  let lastFour = 0;

  function hold(piece: Uint8Array): void {
    if (heldBytes + piece.length > held.length) {
      const larger = new Uint8Array(2 * (heldBytes + piece.length));
      larger.set(held.subarray(0, heldBytes));
      held = larger;
    }
    held.set(piece, heldBytes);
    heldBytes += piece.length;
  }
  function take(): Uint8Array {
    const event = held.slice(0, heldBytes);
    heldBytes = 0;
    return event;
  }

  return new TransformStream<Uint8Array, Uint8Array>({
    transform(piece, controller) {
      let from = 0;
      for (let at = 0; at < piece.length; at += 1) {
        lastFour = (lastFour << 8) | (piece[at] ?? 0);
        if (!isEventEnd(lastFour)) continue;
        hold(piece.subarray(from, at + 1));
        controller.enqueue(take());
        from = at + 1;
        lastFour = 0;
      }
      hold(piece.subarray(from));
      if (heldBytes > EVENT_BYTES_MAX) {
        controller.error(new Error(`An event of the answer is longer than ${EVENT_BYTES_MAX} bytes.`));
      }
    },
    flush(controller) {
      if (heldBytes > 0) controller.enqueue(take());
    },
  });
}
