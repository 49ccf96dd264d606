/** Bytes between a client and a machine: bounded, and given up where the client does nothing for long. Real streams, whose other end is held. */
import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { received, taken } from '../../../src/gateway/file-flow.js';
import { waitFor } from '../../support/wait-for.js';

const LONG_MS = 60_000;
const SHORT_MS = 5;

async function all(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const seen: Uint8Array[] = [];
  for await (const chunk of chunks) seen.push(chunk);
  return Buffer.concat(seen).toString();
}
const over = Readable.from([Buffer.from('one '), Buffer.from('two')]);

describe('what a client sends', () => {
  it('comes as it was sent', async () => {
    expect(await all(received(over, { bytesMax: 7, stallMs: LONG_MS }))).toBe('one two');
  });

  it('is refused as soon as it is too much, and the connection stays for the answer', async () => {
    const body = new PassThrough();
    body.write('12345678');
    await expect(all(received(body, { bytesMax: 7, stallMs: LONG_MS }))).rejects.toMatchObject({
      code: 'FILE_TOO_LARGE',
    });
    expect(body.destroyed).toBe(false);
  });

  it.each(['nothing', 'a little and then nothing'])('is given up where %s comes', async (what) => {
    const body = new PassThrough();
    if (what !== 'nothing') body.write('x');
    await expect(all(received(body, { bytesMax: 7, stallMs: SHORT_MS }))).rejects.toMatchObject({
      code: 'TRANSFER_ENDED',
    });
    expect(body.destroyed).toBe(true);
  });

  it('is given up where its connection ends', async () => {
    const body = new PassThrough();
    const waiting = all(received(body, { bytesMax: 7, stallMs: LONG_MS }));
    body.destroy(new Error('aborted'));
    await expect(waiting).rejects.toMatchObject({ code: 'TRANSFER_ENDED' });
  });
});

describe('what a client takes', () => {
  async function* two(): AsyncGenerator<Buffer> {
    yield await Promise.resolve(Buffer.from('one '));
    yield Buffer.from('two');
  }

  it('goes on for as long as it is taken', async () => {
    let cuts = 0;
    expect(await all(taken(two(), { stallMs: LONG_MS, cut: () => (cuts += 1) }))).toBe('one two');
    expect(cuts).toBe(0);
  });

  it('is cut where nothing is taken for long', async () => {
    let cuts = 0;
    const pieces = taken(two(), { stallMs: SHORT_MS, cut: () => (cuts += 1) });
    await pieces.next();
    await waitFor('it is cut', () => cuts === 1);
  });
});
