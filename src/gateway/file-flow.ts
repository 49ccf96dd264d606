/** Bytes of a file on their way between a client and a machine: bounded, and given up where the client does nothing for long. */
import type { Readable } from 'node:stream';
import { InnkeeperError } from '../contracts/errors.js';
import { ended } from './file-visits.js';

/** What a client sends. @throws InnkeeperError FILE_TOO_LARGE, TRANSFER_ENDED */
export async function* received(
  body: Readable,
  { bytesMax, stallMs }: { readonly bytesMax: number; readonly stallMs: number },
): AsyncGenerator<Uint8Array> {
  // Not `for await`: where the file is refused the connection stays, so that the client hears of it.
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  for (let size = 0; ;) {
    const timer = setTimeout(() => body.destroy(ended('Nothing came for too long.')), stallMs);
    const chunk = await chunks.next().catch((error: unknown) => {
      throw InnkeeperError.is(error) ? error : ended('The client is gone.');
    });
    clearTimeout(timer);
    if (chunk.done === true) return;
    size += chunk.value.length;
    if (size > bytesMax) throw tooLarge(bytesMax);
    yield chunk.value;
  }
}

/** What a client takes; `cut` ends its connection. */
export async function* taken(
  pieces: AsyncIterable<Buffer>,
  { stallMs, cut }: { readonly stallMs: number; readonly cut: () => void },
): AsyncGenerator<Buffer> {
  for await (const piece of pieces) {
    const timer = setTimeout(cut, stallMs);
    try {
      yield piece;
    } finally {
      clearTimeout(timer);
    }
  }
}

export function tooLarge(bytesMax: number): InnkeeperError {
  return new InnkeeperError('FILE_TOO_LARGE', `The file has more than ${bytesMax} bytes.`);
}
