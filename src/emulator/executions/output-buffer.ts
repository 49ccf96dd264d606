/** Collects what a command writes: the head of each stream up to the cap, in order of arrival, as text. */
import { StringDecoder } from 'node:string_decoder';
import { EXECUTION_CHUNK_CHARS_MAX, EXECUTION_OUTPUT_BYTES_MAX } from '../constants.js';
import type { OutputChunk } from '../state/records.js';

type Stream = OutputChunk['stream'];

export class OutputBuffer {
  readonly chunks: OutputChunk[] = [];
  readonly bytes: Record<Stream, number> = { stdout: 0, stderr: 0 };
  #decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') };

  add(stream: Stream, bytes: Buffer, at: string): void {
    const room = EXECUTION_OUTPUT_BYTES_MAX - this.bytes[stream];
    this.bytes[stream] += bytes.length;
    if (room <= 0) return;
    this.#append(stream, this.#decoders[stream].write(bytes.subarray(0, room)), at);
  }

  /** Flushes characters that were cut by the end of the stream. */
  end(at: string): void {
    for (const stream of ['stdout', 'stderr'] as const) this.#append(stream, this.#decoders[stream].end(), at);
  }

  isTruncated(stream: Stream): boolean {
    return this.bytes[stream] > EXECUTION_OUTPUT_BYTES_MAX;
  }

  chars(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.text.length, 0);
  }

  #append(stream: Stream, text: string, at: string): void {
    if (text === '') return;
    const last = this.chunks.at(-1);
    if (last && last.stream === stream && last.text.length + text.length <= EXECUTION_CHUNK_CHARS_MAX)
      last.text += text;
    else this.chunks.push({ at, stream, text });
  }
}

export function joinChunks(chunks: readonly OutputChunk[], stream: Stream): string {
  return chunks
    .filter((chunk) => chunk.stream === stream)
    .map((chunk) => chunk.text)
    .join('');
}
