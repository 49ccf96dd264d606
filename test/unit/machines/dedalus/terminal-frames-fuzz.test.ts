/**
 * Goal: both frame formats of a terminal's socket, as the adapter and the emulator read and write them, carry any bytes cut anywhere,
 * and nothing that arrives throws or is held without bound.
 */
import { EventEmitter } from 'node:events';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { WebSocket } from 'ws';
import { createTerminalStream } from '../../../../src/machines/dedalus/terminal-stream.js';
import { decodeServerFrame, encodeInput } from '../../../../src/machines/dedalus/terminal-wire.js';
import { TERMINAL_PROTOCOLS } from '../../../../src/emulator/terminals/protocol.js';
import { cutAt, everyCut, hostileJson, hostileRecord } from '../../../support/hostile.js';
import { runs } from '../../../support/properties.js';

const PROTOCOLS = ['D', 'J'] as const;
const WORDS = ['type', 'data', 'cols', 'rows', 'width', 'height', 'error_code', 'error_message'];

const frameJson = fc.oneof(
  hostileRecord({
    type: fc.constantFrom('output', 'closed', 'error', 'input', 'resize'),
    data: fc.constantFrom('', 'aGVsbG8=', '%%%'),
    cols: fc.constantFrom(80, 0, -1),
    rows: fc.constantFrom(24, 1e308),
    width: fc.constantFrom(80, 1.5),
    height: fc.constantFrom(24, '24'),
    error_code: fc.constant('INVALID_EVENT'),
    error_message: fc.constant('no'),
  }),
  hostileJson(WORDS),
);
const frame: fc.Arbitrary<Buffer> = fc.oneof(
  frameJson.map((value) => Buffer.from(JSON.stringify(value))),
  frameJson.map((value) => Buffer.from(JSON.stringify(value).slice(0, -1))),
  fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
);

describe.each(PROTOCOLS)('protocol %s', (name) => {
  const protocol = TERMINAL_PROTOCOLS[name];
  const isBinary = name === 'D';
  const toBytes = (sent: Uint8Array | string): Buffer =>
    typeof sent === 'string' ? Buffer.from(sent) : Buffer.from(sent);
  const bytes = Buffer.from('{"type":"output"} \u001e\u0000ü😀\r\n[');

  test('carries output and input as they are, cut at every byte', () => {
    for (const pieces of everyCut(bytes)) {
      const output = pieces.map((piece) => {
        const { frame: read } = decodeServerFrame(toBytes(protocol.encodeOutput(Buffer.from(piece))), isBinary);
        return read.kind === 'output' ? Buffer.from(read.bytes) : Buffer.from(`not output: ${read.kind}`);
      });
      const input = pieces.map((piece) => {
        const read = protocol.decode(toBytes(encodeInput(name, piece)), isBinary);
        return read.kind === 'input' ? read.bytes : Buffer.from(`not input: ${read.kind}`);
      });
      expect(Buffer.concat(output)).toEqual(bytes);
      expect(Buffer.concat(input)).toEqual(bytes);
    }
  });

  test('reads whatever arrives as a frame, a size that fits, or a refusal', () => {
    fc.assert(
      fc.property(frame, fc.boolean(), (data, binary) => {
        const read = protocol.decode(data, binary);
        if (read.kind === 'resize')
          expect([read.columns, read.rows].every((size) => Number.isInteger(size) && size > 0)).toBe(true);
        expect(['output', 'closed', 'error', 'other']).toContain(decodeServerFrame(data, binary).frame.kind);
      }),
      runs(2_000),
    );
  });
});

/** The part of a socket that the stream uses. */
class FakeSocket extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  bufferedAmount = 0;
  resume(): void {}
  send(): void {}
  ping(): void {}
  close(code: number): void {
    this.terminate(code);
  }
  terminate(code = 1006): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.emit('close', code, Buffer.from(''));
  }
}

describe('an open terminal', () => {
  test('takes any frames: it goes on, or ends with words that are short', async () => {
    const sent = fc.array(fc.tuple(frame, fc.boolean()), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(sent, fc.constantFrom('auto', 'D', 'J'), async (frames, protocol) => {
        const socket = new FakeSocket();
        const options = {
          terminalId: 't',
          protocol,
          redact: (text: string) => text.slice(0, 500),
          endShell: async () => {},
        };
        const terminal = createTerminalStream(socket as unknown as WebSocket, options);
        const heard: Uint8Array[] = [];
        terminal.onOutput((piece) => heard.push(piece));
        for (const [data, isBinary] of frames) socket.emit('message', data, isBinary);
        socket.terminate();
        expect((await terminal.closed).reason.length).toBeLessThanOrEqual(500);
        expect(heard.every((piece) => piece instanceof Uint8Array)).toBe(true);
      }),
      runs(300),
    );
  });

  test('hands on a stream of output whole, in frames of any size and either format', () => {
    const stream = fc.uint8Array({ minLength: 1, maxLength: 200 });
    const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(stream, sizes, fc.constantFrom(...PROTOCOLS), (bytes, cuts, name) => {
        const socket = new FakeSocket();
        const options = { terminalId: 't', protocol: 'auto' as const, redact: String, endShell: async () => {} };
        const terminal = createTerminalStream(socket as unknown as WebSocket, options);
        const heard: Uint8Array[] = [];
        const pieces = cutAt(bytes, cuts);
        pieces.forEach((piece, at) => {
          // Who listens late hears everything all the same.
          if (at === Math.floor(pieces.length / 2)) terminal.onOutput((part) => heard.push(part));
          socket.emit('message', Buffer.from(TERMINAL_PROTOCOLS[name].encodeOutput(Buffer.from(piece))), name === 'D');
        });
        socket.terminate();
        expect(Buffer.concat(heard)).toEqual(Buffer.from(bytes));
      }),
      runs(300),
    );
  });
});
