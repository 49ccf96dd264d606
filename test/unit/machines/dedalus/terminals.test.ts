/**
 * Goal: one byte stream over either of the API's two socket protocols, our key only to the API's own host, and a clear end.
 * Method: a scripted local server that speaks both.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { WebSocket } from 'ws';
import { streamAddress } from '../../../../src/machines/dedalus/terminal-socket.js';
import { createTransport } from '../../../../src/machines/dedalus/transport.js';
import { startFakeApi, type FakeApi } from './fake-api.js';
import { failure, KEY, nested, provider } from './support.js';

const BASE = '/v1/machines/dm-1/terminals';
const CREATE = `POST ${BASE}`;
const READ = `GET ${BASE}/t1`;
const STREAM = `UPGRADE ${BASE}/t1/stream`;
const END = `DELETE ${BASE}/t1`;
const request = { columns: 100, rows: 30, env: { TERM: 'dumb' } };
const keyed = { idempotencyKey: 'stored-key' };

let api: FakeApi;
beforeEach(async () => {
  api = await startFakeApi();
});
afterEach(async () => {
  await api.close();
});

function terminal(status: string, extra: object = {}): { status: number; body: object } {
  return { status: 200, body: { terminal_id: 't1', machine_id: 'dm-1', status, width: 100, height: 30, ...extra } };
}

interface Frame {
  isBinary: boolean;
  text: string;
}

/** Remembers the frames of a client, in order. */
function framesOf(socket: WebSocket, frames: Frame[]): void {
  socket.on('message', (data: Buffer, isBinary) => frames.push({ isBinary, text: data.toString() }));
}

function json(value: object): string {
  return JSON.stringify(value);
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

describe('both protocols', () => {
  test.each(['auto', 'J', 'D'] as const)('D shows in the first frame; configured: %s', async (protocol) => {
    const frames: Frame[] = [];
    api.script({ [CREATE]: terminal('ready') });
    api.onSocket((socket) => {
      framesOf(socket, frames);
      socket.send(Buffer.from('welcome'));
      socket.on('message', () => socket.send(Buffer.from([0xff, 0x00])));
    });
    const opened = await provider(api.url, { terminalProtocol: protocol }).openTerminal('dm-1', request, keyed);
    const output: Buffer[] = [];
    opened.onOutput((bytes) => output.push(Buffer.from(bytes)));
    await expect.poll(() => output[0]?.toString()).toBe('welcome');
    opened.write(Buffer.from('ls\n'));
    await expect.poll(() => frames.at(-1)).toEqual({ isBinary: true, text: 'ls\n' });
    await expect.poll(() => output.at(-1)).toEqual(Buffer.from([0xff, 0x00]));
    expect(frames).toHaveLength(1);
    await opened.close();
  });

  test.each(['auto', 'J', 'D'] as const)('J shows in the first frame; configured: %s', async (protocol) => {
    const frames: Frame[] = [];
    api.script({ [CREATE]: terminal('ready') });
    api.onSocket((socket) => {
      framesOf(socket, frames);
      socket.send(json({ type: 'output', data: base64('wélcome') }));
    });
    const opened = await provider(api.url, { terminalProtocol: protocol }).openTerminal('dm-1', request, keyed);
    const output: string[] = [];
    opened.onOutput((bytes) => output.push(Buffer.from(bytes).toString()));
    await expect.poll(() => output).toEqual(['wélcome']);
    opened.write(Buffer.from('ls\n'));
    await expect
      .poll(() => frames.at(-1))
      .toEqual({ isBinary: false, text: json({ type: 'input', data: base64('ls\n') }) });
    await opened.close();
  });

  test.each([
    ['D', Buffer.from('$ '), { cols: 133, rows: 44 }],
    ['J', json({ type: 'output', data: base64('$ ') }), { type: 'resize', width: 133, height: 44 }],
  ] as const)(
    '%s is told the last size of the window once it shows, and each later one',
    async (_name, hello, told) => {
      const frames: Frame[] = [];
      api.script({ [CREATE]: terminal('ready') });
      let speak: () => void = () => undefined;
      api.onSocket((socket) => {
        framesOf(socket, frames);
        speak = () => socket.send(hello);
      });
      const opened = await provider(api.url).openTerminal('dm-1', request, keyed);
      opened.onOutput(() => undefined);
      opened.resize({ columns: 1, rows: 1 });
      opened.resize({ columns: 133, rows: 44 });
      speak();
      await expect.poll(() => frames).toEqual([{ isBinary: false, text: json(told) }]);
      opened.resize({ columns: 133, rows: 44 });
      await expect.poll(() => frames).toHaveLength(2);
      await opened.close();
    },
  );

  test('nothing is taken from a terminal that is paused, and all of it after that', async () => {
    api.script({ [CREATE]: terminal('ready') });
    api.onSocket((socket) => {
      socket.send(Buffer.from('first'));
      socket.on('message', () => socket.send(Buffer.from('second')));
    });
    const opened = await provider(api.url).openTerminal('dm-1', request, keyed);
    const output: string[] = [];
    opened.onOutput((bytes) => output.push(Buffer.from(bytes).toString()));
    await expect.poll(() => output).toEqual(['first']);
    opened.pause(true);
    opened.write(Buffer.from('more\n'));
    await expect.poll(() => opened.unsentBytes).toBe(0);
    expect(output).toEqual(['first']);
    opened.pause(false);
    await expect.poll(() => output).toEqual(['first', 'second']);
    opened.pause(true);
    // Its end is heard all the same.
    await opened.close();
    await opened.closed;
  });

  test.each([
    ['D', { isBinary: true, text: 'ls\n' }],
    ['J', { isBinary: false, text: json({ type: 'input', data: base64('ls\n') }) }],
    ['auto', { isBinary: false, text: json({ type: 'input', data: base64('ls\n') }) }],
  ] as const)('a silent server is spoken to after a while; configured: %s', async (protocol, input) => {
    const frames: Frame[] = [];
    api.script({ [CREATE]: terminal('ready') });
    api.onSocket((socket) => framesOf(socket, frames));
    const opened = await provider(api.url, { terminalProtocol: protocol }).openTerminal('dm-1', request, keyed);
    opened.write(Buffer.from('ls\n'));
    await expect.poll(() => frames, { timeout: 5_000 }).toEqual([input]);
    await opened.close();
  });

  test.each([
    ['D', json({ type: 'error', error_code: 'INVALID_EVENT' }), json({ type: 'input', data: base64('ls\n') })],
    ['J', Buffer.from('$ '), 'ls\n'],
  ] as const)('a wrong guess (%s) is said again in the right protocol', async (protocol, reply, second) => {
    const frames: Frame[] = [];
    api.script({ [CREATE]: terminal('ready') });
    api.onSocket((socket) => {
      framesOf(socket, frames);
      socket.once('message', () => socket.send(reply));
    });
    const opened = await provider(api.url, { terminalProtocol: protocol }).openTerminal('dm-1', request, keyed);
    opened.write(Buffer.from('ls\n'));
    await expect.poll(() => frames.map((frame) => frame.text)[1], { timeout: 5_000 }).toBe(second);
    opened.write(Buffer.from('pwd\n'));
    await expect.poll(() => frames).toHaveLength(3);
    await opened.close();
  });

  test('input before the first frame is held, and then sent in order', async () => {
    const frames: Frame[] = [];
    let server: WebSocket | undefined;
    api.script({ [CREATE]: terminal('ready') });
    api.onSocket((socket) => {
      server = socket;
      framesOf(socket, frames);
    });
    const opened = await provider(api.url).openTerminal('dm-1', request, keyed);
    opened.write(Buffer.from('a'));
    opened.write(Buffer.from('b'));
    server!.send(Buffer.from('$ '));
    await expect.poll(() => frames.map((frame) => frame.text)).toEqual(['a', 'b']);
    await opened.close();
  });
});

describe('opening', () => {
  test('waits until the terminal is ready, and again where the socket says too early', async () => {
    api.script({
      [CREATE]: terminal('wake_in_progress'),
      [READ]: [terminal('wake_in_progress'), terminal('ready')],
      [STREAM]: { status: 409, body: { error_code: 'INVALID_STATE', details: { current_status: 'wake_in_progress' } } },
    });
    api.onSocket(() => {});
    const opening = provider(api.url).openTerminal('dm-1', request, keyed);
    await expect.poll(() => api.routes().filter((route) => route === STREAM).length).toBeGreaterThan(1);
    api.script({ [READ]: terminal('ready'), [END]: terminal('closed') });
    await (await opening).close();
    expect(api.asked[0]!.body).toEqual({ width: 100, height: 30, env: { TERM: 'dumb' } });
    expect(api.asked[0]!.headers['idempotency-key']).toBe('stored-key');
    expect(api.routes().at(-1)).toBe(END);
  });

  test('our key goes with the upgrade on the own host', async () => {
    api.script({ [CREATE]: terminal('ready', { stream_url: `${api.url.replace('http', 'ws')}/s?token=x` }) });
    api.onSocket(() => {});
    await (await provider(api.url).openTerminal('dm-1', request, keyed)).close();
    const upgrade = api.asked.find((call) => call.route === 'UPGRADE /s?token=x')!;
    expect(upgrade.headers).toMatchObject({ authorization: `Bearer ${KEY}`, 'x-api-key': KEY });
  });

  test.each([
    ['https://api.example', undefined, 'wss://api.example/p', true],
    ['https://api.example/', '/s?t=1', 'wss://api.example/s?t=1', true],
    ['https://api.example', 'https://api.example/s', 'wss://api.example/s', true],
    ['https://api.example', 'wss://other.example/s', 'wss://other.example/s', false],
    ['https://api.example', 'ws://api.example/s', 'ws://api.example/s', false],
    ['http://127.0.0.1:1', 'ws://127.0.0.1:2/s', 'ws://127.0.0.1:2/s', false],
  ])('API %s, stream %s: %s, key sent: %s', (baseUrl, streamUrl, address, hasKey) => {
    const transport = createTransport({ baseUrl, apiKey: KEY, requestTimeoutMs: 1 });
    const { url, headers } = streamAddress(transport, streamUrl, '/p');
    expect(url.href).toBe(address);
    expect('x-api-key' in headers).toBe(hasKey);
  });

  test.each(['closed', 'failed', 'expired'])('a terminal that is %s is GUEST_UNREACHABLE', async (status) => {
    api.script({ [CREATE]: terminal(status, { error_code: 'x', error_message: 'y' }) });
    expect((await failure(provider(api.url).openTerminal('dm-1', request, keyed))).code).toBe('GUEST_UNREACHABLE');
  });

  test.each([
    [{ status: 401, body: {} }, 'PROVIDER_UNAUTHORIZED'],
    [{ status: 409, body: { details: { current_status: 'closed' } } }, 'GUEST_UNREACHABLE'],
    [{ status: 503, body: {} }, 'PROVIDER_UNAVAILABLE'],
    [{ cut: 'before' as const }, 'PROVIDER_UNAVAILABLE'],
  ])('an upgrade answered %j is %s', async (answer, code) => {
    api.script({ [CREATE]: terminal('ready'), [STREAM]: answer });
    expect((await failure(provider(api.url).openTerminal('dm-1', request, keyed))).code).toBe(code);
  });

  test('where there are no terminals it is said once and for all', async () => {
    api.script({ 'GET /v1/machines/dm-1': { status: 200, body: nested() } });
    const one = provider(api.url);
    expect(one.hasTerminals()).toBe(true);
    expect((await failure(one.openTerminal('dm-1', request, keyed))).code).toBe('PROVIDER_ROUTE_CLOSED');
    expect(one.hasTerminals()).toBe(false);
  });

  test('a machine that is gone is MACHINE_LOST, and says nothing about terminals', async () => {
    const one = provider(api.url);
    expect((await failure(one.openTerminal('dm-1', request, keyed))).code).toBe('MACHINE_LOST');
    expect(one.hasTerminals()).toBe(true);
  });

  test('aborting ends the wait and gives the terminal back', async () => {
    const stop = new AbortController();
    const reason = new Error('cancelled');
    api.script({
      [CREATE]: terminal('wake_in_progress'),
      [READ]: () => {
        stop.abort(reason);
        return terminal('wake_in_progress');
      },
    });
    await expect(provider(api.url).openTerminal('dm-1', request, { ...keyed, signal: stop.signal })).rejects.toBe(
      reason,
    );
    await expect.poll(() => api.routes().at(-1)).toBe(END);
  });
});

describe('the end', () => {
  test.each<[string, (socket: WebSocket) => void, number | undefined, string]>([
    ['a closed frame', (socket) => socket.send(json({ type: 'closed' })), 1000, 'The shell has ended.'],
    [
      'an error frame',
      (socket) => socket.send(json({ type: 'error', error_code: 'GONE', error_message: 'm' })),
      1000,
      'GONE m',
    ],
    ['a close frame', (socket) => socket.close(4000, 'expired'), 4000, 'expired'],
    ['a broken connection', (socket) => socket.terminate(), undefined, ''],
  ])('by %s', async (_, finish, code, reason) => {
    api.script({ [CREATE]: terminal('ready') });
    let server: WebSocket | undefined;
    api.onSocket((socket) => {
      server = socket;
    });
    const opened = await provider(api.url).openTerminal('dm-1', request, keyed);
    finish(server!);
    expect(await opened.closed).toEqual({ code, reason });
    expect(() => opened.write(Buffer.from('x'))).toThrow(expect.objectContaining({ code: 'GUEST_UNREACHABLE' }));
  });

  test('output from before the listener is not lost', async () => {
    api.script({ [CREATE]: terminal('ready') });
    api.onSocket((socket) => {
      socket.send(Buffer.from('a'));
      socket.send(Buffer.from('b'));
      socket.close();
    });
    const opened = await provider(api.url).openTerminal('dm-1', request, keyed);
    await opened.closed;
    const output: string[] = [];
    opened.onOutput((bytes) => output.push(Buffer.from(bytes).toString()));
    expect(output).toEqual(['a', 'b']);
  });

  test('closing never rejects, even with the provider away', async () => {
    api.script({ [CREATE]: terminal('ready'), [END]: { cut: 'before' } });
    api.onSocket(() => {});
    const opened = await provider(api.url).openTerminal('dm-1', request, keyed);
    await opened.close();
    await opened.close();
  });
});
