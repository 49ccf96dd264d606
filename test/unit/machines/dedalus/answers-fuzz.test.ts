/**
 * Goal: whatever a provider answers, each call ends with a value or a coded error, and no answer fills the memory. Method: every
 * route is called against made-up answers: shapes that nearly fit, JSON that nothing should send, bytes cut anywhere.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InnkeeperError, isErrorCode } from '../../../../src/contracts/errors.js';
import type { MachineProvider } from '../../../../src/machines/provider.js';
import { createRedactor } from '../../../../src/machines/dedalus/redact.js';
import { openSocket, streamAddress } from '../../../../src/machines/dedalus/terminal-socket.js';
import { ANSWER_BYTES_MAX, createTransport } from '../../../../src/machines/dedalus/transport.js';
import { everyCut, hostileJson, hostileRecord, hostileText } from '../../../support/hostile.js';
import { runs } from '../../../support/properties.js';
import { KEY, nested, provider } from './support.js';

const BASE_URL = 'http://127.0.0.1:9';
/** Requests after which the caller of a test gives up. */
const REQUESTS_MAX = 8;

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string;
}

const id = fc.constantFrom('dm-1', 'ex-1', 'term-1');
const machine = hostileRecord({
  machine_id: id,
  vcpu: fc.constant(1),
  desired_state: fc.constantFrom('running', 'sleeping', 'destroyed'),
  phase: fc.constantFrom('running', 'sleeping', 'destroyed', 'starting'),
  autosleep_seconds: fc.constant(300),
  status: hostileRecord({
    phase: fc.constant('running'),
    revision: fc.constantFrom('7', 7),
    last_error: fc.constant('no'),
  }),
  items: fc.array(fc.constant(nested()), { maxLength: 2 }),
  next_cursor: fc.constant('next'),
});
const execution = hostileRecord({
  execution_id: id,
  status: fc.constantFrom('succeeded', 'failed', 'expired', 'running'),
  exit_code: fc.constantFrom(0, 7, null),
  signal: fc.constant('KILL'),
  error_code: fc.constantFrom('machine_not_found', 'machine_not_routable'),
  error_message: fc.constant('no'),
  stdout: fc.constant('out'),
  stdout_bytes: fc.constant(3),
});
const terminal = hostileRecord({
  terminal_id: id,
  status: fc.constantFrom('wake_in_progress', 'closed', 'failed'),
  error_code: fc.constant('terminal_start_failed'),
  error_message: fc.constant('no'),
});
const refusal = hostileRecord({
  error_code: fc.constantFrom('REVISION_MISMATCH', 'RATE_LIMITED', 'INVALID_STATE'),
  message: fc.constant('no'),
  retryable: fc.boolean(),
  retry_after_ms: fc.constant(1),
  errors: fc.array(hostileRecord({ location: fc.constant('body.vcpu'), message: fc.constant('no') }), { maxLength: 3 }),
});
const anything = hostileJson(['machine_id', 'status', 'phase', 'error_code', 'errors', 'message', 'items']);
const json = fc.oneof(machine, execution, terminal, refusal, anything);

const answer: fc.Arbitrary<Answer> = fc.record({
  status: fc.constantFrom(200, 200, 202, 204, 302, 400, 401, 404, 409, 412, 429, 500, 501, 503),
  headers: fc.record(
    {
      'content-type': fc.constantFrom('application/json', 'application/problem+json', 'text/html', 'x'),
      etag: fc.constantFrom('"7"', 'W/"7"', '', '""', 'é'),
      'retry-after': fc.constantFrom('0', '-1', 'x', '1e9', 'Wed, 21 Oct 2015 07:28:00 GMT'),
    },
    { requiredKeys: [] },
  ),
  body: fc.oneof(
    { weight: 6, arbitrary: json.map((value) => JSON.stringify(value)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }) },
    { weight: 1, arbitrary: json.map((value) => JSON.stringify(value).slice(0, -1)) },
  ),
});

function toResponse({ status, headers, body }: Answer): Response {
  const hasBody = status !== 204;
  return new Response(hasBody ? (body as string) : null, { status, headers });
}

type Call = (machines: MachineProvider, signal: AbortSignal) => Promise<unknown>;
const change = (signal: AbortSignal) => ({ idempotencyKey: 'key', ifMatch: '7', signal });
const CALLS: Readonly<Record<string, Call>> = {
  create: (machines, signal) =>
    machines.create({ vcpu: 1, memoryMib: 1, storageGib: 1, autosleepSeconds: 1 }, { idempotencyKey: 'key', signal }),
  find: (machines, signal) => machines.find('dm-1', { signal }),
  list: (machines) => machines.list(),
  wake: (machines, signal) => machines.wake('dm-1', change(signal)),
  sleep: (machines, signal) => machines.sleep('dm-1', change(signal)),
  destroy: (machines, signal) => machines.destroy('dm-1', change(signal)),
  execute: (machines, signal) =>
    machines.execute('dm-1', { argv: ['true'], timeoutMs: 1 }, { idempotencyKey: 'key', signal }),
  openTerminal: (machines, signal) =>
    machines.openTerminal('dm-1', { columns: 1, rows: 1 }, { idempotencyKey: 'key', signal }),
};

/** Calls with these answers, the last of them again and again, and gives up after a few requests. */
async function call(name: string, answers: readonly Answer[]): Promise<void> {
  const caller = new AbortController();
  const given = new Error('the caller gave up');
  let requests = 0;
  const machines = provider(BASE_URL, {
    takesAutosleep: 'auto',
    fetch: async () => {
      requests += 1;
      if (requests > REQUESTS_MAX) caller.abort(given);
      return toResponse(answers[Math.min(requests, answers.length) - 1]!);
    },
  });
  try {
    await CALLS[name]!(machines, caller.signal);
  } catch (error) {
    if (error === given) return;
    if (!InnkeeperError.is(error)) throw error;
    expect(isErrorCode(error.code)).toBe(true);
    expect(error.message).not.toContain(KEY);
    expect(error.message.length).toBeLessThan(1_000);
  }
}

describe('the machines API', () => {
  test.each(Object.keys(CALLS))(
    '%s ends with a value or a coded error, whatever is answered',
    async (name) => {
      // Without hints to wait, which are obeyed and tested elsewhere.
      const quick = answer.map((one) => ({ ...one, headers: { ...one.headers, 'retry-after': '0' } }));
      await fc.assert(
        fc.asyncProperty(fc.array(quick, { minLength: 1, maxLength: 4 }), (answers) => call(name, answers)),
        runs(60),
      );
    },
    60_000,
  );

  test.each<[string, string, object, number]>([
    ['an error code that every object has', 'find', { error_code: 'constructor', message: 'no' }, 400],
    ['a field that cannot be made a text', 'find', { errors: [{ location: { toString: 1, valueOf: 1 } }] }, 422],
    ['a machine whose id cannot stand in a path', 'create', { machine_id: '\ud800' }, 202],
    ['a machine whose id is a folder', 'create', { machine_id: '..' }, 202],
    ['an execution whose id cannot stand in a path', 'execute', { execution_id: '\ud800', status: 'running' }, 200],
    ['a terminal whose id cannot stand in a path', 'openTerminal', { terminal_id: '\ud800', status: 'x' }, 200],
    [
      'a refusal whose words cannot be made a text',
      'execute',
      { execution_id: 'e', status: 'failed', error_code: 'x', error_message: { toString: 1, valueOf: 1 } },
      200,
    ],
    [
      'a terminal whose address is none',
      'openTerminal',
      { terminal_id: 't', status: 'ready', stream_url: 'http://[' },
      200,
    ],
    [
      'a terminal whose address names a part of a page',
      'openTerminal',
      { terminal_id: 't', status: 'ready', stream_url: `${BASE_URL}/#x` },
      200,
    ],
  ])('%s is a coded error', async (_what, name, body, status) => {
    const text = JSON.stringify(body);
    await call(name, [{ status, headers: { 'content-type': 'application/json' }, body: text }]);
  });

  test('an answer is the same however it is cut', async () => {
    const text = Buffer.from(JSON.stringify(nested({}, { name: 'zwölf 😀' })));
    const whole = await provider(BASE_URL, { fetch: async () => cutResponse([text]) }).find('dm-1');
    expect(whole).toMatchObject({ machineId: 'dm-1' });
    for (const pieces of everyCut(text)) {
      expect(await provider(BASE_URL, { fetch: async () => cutResponse(pieces) }).find('dm-1')).toEqual(whole);
    }
  });

  test('an answer without an end is given up at its bound', async () => {
    const piece = new Uint8Array(1024 * 1024).fill(0x20);
    for (const status of [200, 500]) {
      let sent = 0;
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          sent += piece.length;
          controller.enqueue(piece);
        },
      });
      const machines = provider(BASE_URL, {
        fetch: async () => new Response(body, { status, headers: { 'content-type': 'application/json' } }),
      });
      await expect(machines.find('dm-1')).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE' });
      expect(sent).toBeLessThan(ANSWER_BYTES_MAX + 8 * piece.length);
    }
  });
});

function cutResponse(pieces: readonly Uint8Array[]): Response {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
  return new Response(body, { headers: { 'content-type': 'application/json' } });
}

describe("a terminal's address", () => {
  const transport = createTransport({ baseUrl: BASE_URL, apiKey: KEY, requestTimeoutMs: 100 });

  test('is one that a socket takes, or a coded error, and never leaks the key to another host', () => {
    const address = fc.oneof(
      hostileText,
      fc.webUrl({ withFragments: true, withQueryParameters: true }),
      fc.constantFrom('javascript:1', 'ws+unix:///tmp/x', 'wss://h', '//h/x', 'ws://127.0.0.1:9/#x', 7, null, {}),
    );
    fc.assert(
      fc.property(address, (given) => {
        try {
          const { url, headers } = streamAddress(transport, given, '/v1/x');
          expect(url.protocol).toMatch(/^wss?:$/);
          expect(url.hash).toBe('');
          if (url.host !== transport.baseUrl.host) expect(headers).toEqual({});
        } catch (error) {
          expect(error).toMatchObject({ code: 'GUEST_UNREACHABLE' });
        }
      }),
      runs(1_000),
    );
  });

  test('that nobody answers at is a coded error', async () => {
    const address = streamAddress(transport, `${BASE_URL}/x#part`, '/v1/x');
    await expect(
      openSocket({ address, timeoutMs: 1_000, signal: undefined, redact: transport.redact }),
    ).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE' });
  });
});

describe("a provider's words", () => {
  const redact = createRedactor([KEY]);

  test('are short, without the key, whatever they are', () => {
    const part = fc.oneof(hostileText, fc.constantFrom(KEY, 'Bearer ', 'http://', '?', 'dsk-abcdefgh', ' '.repeat(50)));
    fc.assert(
      fc.property(fc.array(part, { maxLength: 30 }), fc.integer({ min: 0, max: 9_000 }), (parts, padding) => {
        const clean = redact(`${'x'.repeat(padding)} ${parts.join('')}`);
        expect(clean.length).toBeLessThanOrEqual(501);
        expect(clean).not.toContain(KEY);
      }),
      runs(500),
    );
  });

  test('of any length are read in no time: addresses upon addresses', () => {
    // By the square of the length this would take minutes.
    expect(redact('http://'.repeat(500_000)).length).toBeLessThanOrEqual(501);
  });

  test('hide a key that is cut off where reading ends', () => {
    for (let at = 1; at < KEY.length; at += 1) {
      const padding = `http://h?${'q'.repeat(8 * 1024 - at - 10)} `;
      expect(redact(`${padding}${KEY}`)).not.toContain(KEY.slice(0, 6));
    }
  });
});
