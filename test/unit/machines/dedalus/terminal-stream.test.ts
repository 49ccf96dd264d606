/** Goal: a peer that no longer answers ends the stream, and a reader that never comes does not fill the memory. */
import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { createTerminalStream } from '../../../../src/machines/dedalus/terminal-stream.js';

/** The part of a socket that the stream uses. */
class FakeSocket extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  bufferedAmount = 0;
  pings = 0;
  resume(): void {}
  send(): void {}
  ping(): void {
    this.pings += 1;
  }
  close(code: number): void {
    this.end(code);
  }
  terminate(): void {
    this.end(1006);
  }
  private end(code: number): void {
    this.readyState = 3;
    this.emit('close', code, Buffer.from(''));
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function open(socket: FakeSocket) {
  return createTerminalStream(socket as unknown as WebSocket, {
    terminalId: 't1',
    protocol: 'auto',
    redact: (text) => text,
    endShell: async () => {},
  });
}

test('a peer that answers pings stays; one that stops is given up', async () => {
  const socket = new FakeSocket();
  const terminal = open(socket);
  for (let round = 1; round <= 5; round += 1) {
    vi.advanceTimersByTime(15_000);
    expect(socket.pings).toBe(round);
    socket.emit('pong');
  }
  vi.advanceTimersByTime(30_000);
  expect(await terminal.closed).toEqual({ code: undefined, reason: 'The peer does not answer.' });
  expect(vi.getTimerCount()).toBe(0);
});

test('output nobody listens to ends the stream at its bound', async () => {
  const socket = new FakeSocket();
  const terminal = open(socket);
  for (let megabytes = 0; megabytes < 5; megabytes += 1) socket.emit('message', Buffer.alloc(1024 * 1024), true);
  expect((await terminal.closed).reason).toBe('Nobody listens to the terminal.');
});

test('input that does not leave is refused at its bound', () => {
  const socket = new FakeSocket();
  const terminal = open(socket);
  socket.bufferedAmount = 4 * 1024 * 1024;
  expect(() => terminal.write(Buffer.from('x'))).toThrow(expect.objectContaining({ code: 'GUEST_UNREACHABLE' }));
  socket.terminate();
});
