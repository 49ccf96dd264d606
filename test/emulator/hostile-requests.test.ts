/**
 * Goal: no request brings the emulator down, hangs it or is answered as its own defect. Method: every route with bodies that nearly
 * fit and JSON that nothing should send; then upgrades and request lines that no client would write.
 */
import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findPrompt, parseModelRequest } from '../../src/emulator/model/conversation.js';
import { hostileJson, hostileRecord, hostileText } from '../support/hostile.js';
import { runs } from '../support/properties.js';
import { TestEmulator } from './support.js';

let emulator: TestEmulator;
beforeAll(async () => {
  emulator = await TestEmulator.start('g5');
});
afterAll(() => emulator.stop());

const KEYS = [
  'vcpu',
  'memory_mib',
  'storage_gib',
  'command',
  'env',
  'width',
  'height',
  'kind',
  'count',
  'messages',
  'enabled',
];
const body = fc.oneof(
  hostileRecord({
    // Never a machine: nothing is to be booted here.
    vcpu: fc.constantFrom(-1, 1e308, '1'),
    memory_mib: fc.constant(1),
    storage_gib: fc.constant(1),
    autosleep: fc.constantFrom('300s', 'never', '99999999999999999999d'),
  }),
  hostileRecord({
    command: fc.array(hostileText, { maxLength: 3 }),
    env: hostileJson(KEYS),
    timeout_ms: fc.constant(1),
  }),
  hostileRecord({ width: fc.constant(80), height: fc.constant(24), env: hostileJson(KEYS) }),
  hostileRecord({ advanceMs: fc.constantFrom(1, -1, 1e300), rate: fc.constantFrom(1, -1) }),
  hostileRecord({ kind: fc.constant('status'), count: fc.constant(0), match: hostileJson(['route', 'machineId']) }),
  hostileRecord({ createMs: fc.constantFrom(20, -1), terminalProtocol: fc.constantFrom('D', 'X') }),
  hostileRecord({
    model: hostileText,
    messages: fc.array(
      hostileRecord({
        role: fc.constantFrom('user', 'assistant', 'tool', 'system'),
        content: hostileText,
        tool_calls: fc.array(hostileRecord({ id: hostileText, function: hostileJson(['name', 'arguments']) }), {
          maxLength: 2,
        }),
      }),
      { maxLength: 3 },
    ),
    tools: fc.array(hostileJson(['function', 'name']), { maxLength: 2 }),
  }),
  hostileJson(KEYS),
);

const ROUTES: readonly (readonly [string, string])[] = [
  ['POST', '/v1/machines'],
  ['PATCH', '/v1/machines/dm-x'],
  ['POST', '/v1/machines/__proto__/sleep'],
  ['POST', '/v1/machines/dm-x/executions'],
  ['POST', '/v1/machines/dm-x/terminals'],
  ['POST', '/v1/machines/dm-x/ports'],
  ['GET', '/v1/machines?limit=x&cursor=%FF&limit=2'],
  ['GET', '/v1/machines/%E0%A4%A'],
  ['POST', '/v1/chat/completions'],
  ['PUT', '/_emulator/settings'],
  ['POST', '/_emulator/clock'],
  ['POST', '/_emulator/faults'],
  ['POST', '/_emulator/model'],
  ['GET', '/_emulator/ledger?after=x&limit=-1'],
];

/** Statuses of the emulator's own defects. */
const DEFECTS = [500, 502];

async function isWell(): Promise<void> {
  expect((await emulator.call('GET', '/v1/machines')).status).toBe(200);
}

describe('requests', () => {
  test.each(ROUTES)('%s %s is answered, whatever is in it', async (method, path) => {
    await fc.assert(
      fc.asyncProperty(body, async (value) => {
        const sent = method === 'GET' ? {} : { body: JSON.stringify(value) ?? '' };
        expect(DEFECTS).not.toContain((await emulator.call(method, path, sent)).status);
        await emulator.admin('DELETE', '/faults');
      }),
      runs(40),
    );
    await isWell();
  });

  test('a body that is nested too deeply is refused', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    expect((await emulator.call('POST', '/v1/machines', { body: deep })).status).toBe(400);
    await isWell();
  });

  test('a clock that is moved too far is refused, and goes on', async () => {
    for (const advanceMs of [1e300, 8.64e15]) {
      expect((await emulator.call('POST', '/_emulator/clock', { body: { advanceMs } })).status).toBe(422);
    }
    await isWell();
  });

  test.each(['constructor', 'toString', '__proto__'])('an organization called %s is like any other', async (name) => {
    const { status } = await emulator.call('GET', '/v1/machines', { headers: { 'x-dedalus-org-id': name } });
    expect(status).toBe(200);
  });

  test.each([
    ['an upgrade of an address that cannot be decoded', 'GET /v1/machines/%E0%A4%A/terminals/x/stream HTTP/1.1'],
    ['an upgrade of an address that is none', 'GET // HTTP/1.1'],
    ['an upgrade of a whole address', 'GET http://[ HTTP/1.1'],
  ])('%s is refused', async (_what, line) => {
    const head = ['host: x', 'connection: upgrade', 'upgrade: websocket', 'sec-websocket-version: 13'];
    expect(await exchange([line, ...head, 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==', '', ''].join('\r\n'))).toMatch(
      /^HTTP\/1.1 4\d\d/,
    );
    await isWell();
  });

  test('request lines made of anything end', async () => {
    const part = fc.oneof(
      hostileText,
      fc.constantFrom('GET ', '/v1/machines', ' HTTP/1.1\r\n', 'upgrade: websocket\r\n', '\r\n'),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 8 }), async (parts) => {
        await exchange(`${parts.join('')}\r\n\r\n`);
      }),
      runs(60),
    );
    await isWell();
  });
});

/** Sends bytes, then no more, and answers all that comes until the other side ends. */
function exchange(text: string): Promise<string> {
  const { port } = new URL(emulator.running.url);
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(Number(port), '127.0.0.1', () => socket.end(text));
    socket.on('data', (piece: Buffer) => (answer += piece.toString('latin1')));
    socket.on('error', () => undefined); // The close event follows.
    socket.on('close', () => resolve(answer));
  });
}

describe('a prompt of the built-in model', () => {
  test('made of beginnings of notes is read in no time', () => {
    // By the square of the length this would take minutes.
    const content = '<system-note>'.repeat(300_000);
    const { messages } = parseModelRequest({ messages: [{ role: 'user', content }] });
    expect(findPrompt(messages).text).toBe(content);
  });

  test('is what stands outside of notes', () => {
    const part = fc.constantFrom('<system-note>', '</system-note>', 'a', '\n', '$ ls');
    const notes = /<system-note>[\s\S]*?<\/system-note>/g;
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const content = parts.join('');
        const { messages } = parseModelRequest({ messages: [{ role: 'user', content }] });
        const rest = content.replace(notes, '');
        expect(findPrompt(messages).text).toBe(rest.trim() === '' ? '' : rest);
      }),
      runs(500),
    );
  });
});
