/**
 * Frames between the emulator and process 1 of a sandbox: `u32 length, u8 type, u32 channel, payload`, big endian,
 * length counting everything after itself. Channels are numbered by the emulator.
 */

/** Types the emulator sends. */
export const ToInit = {
  exec: 'E',
  terminal: 'P',
  input: 'I',
  closeInput: 'C',
  resize: 'W',
  signalGroup: 'K',
  detach: 'D',
  pause: 'p',
  resume: 'r',
  signalAll: 'A',
  quit: 'Q',
} as const;

/** Types process 1 sends. */
export const FromInit = {
  booted: 'B',
  started: 'S',
  failed: 'F',
  stdout: 'o',
  stderr: 'e',
  exited: 'X',
  closed: 'Z',
} as const;

export interface Frame {
  type: string;
  channel: number;
  payload: Buffer;
}

const HEADER_BYTES = 9;

export function encodeFrame(type: string, channel: number, payload: Buffer | string = ''): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload) : payload;
  const frame = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  frame.writeUInt32BE(body.length + 5, 0);
  frame.writeUInt8(type.charCodeAt(0), 4);
  frame.writeUInt32BE(channel, 5);
  body.copy(frame, HEADER_BYTES);
  return frame;
}

/** Words of a start frame; none may hold NUL, which the request validation guarantees. */
export function encodeWords(words: readonly string[]): Buffer {
  return Buffer.from(words.map((word) => `${word}\0`).join(''));
}

/** Cuts a byte stream into frames. */
export class FrameDecoder {
  #pending: Buffer = Buffer.alloc(0);

  push(bytes: Buffer): Frame[] {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    const frames: Frame[] = [];
    let at = 0;
    while (this.#pending.length - at >= HEADER_BYTES) {
      const length = this.#pending.readUInt32BE(at);
      if (this.#pending.length - at < 4 + length) break;
      frames.push({
        type: String.fromCharCode(this.#pending.readUInt8(at + 4)),
        channel: this.#pending.readUInt32BE(at + 5),
        payload: this.#pending.subarray(at + HEADER_BYTES, at + 4 + length),
      });
      at += 4 + length;
    }
    this.#pending = this.#pending.subarray(at);
    return frames;
  }
}
