/**
 * Goal: every shape and every refusal of the machines API, of all generations, becomes the port's types and codes, with the
 * caller's keys and revisions on the wire and nothing tried again behind its back. Method: a scripted local server.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { sameMachineId } from '../../../../src/machines/dedalus/machine-body.js';
import { startFakeApi, type FakeApi } from './fake-api.js';
import { failure, KEY, nested, provider } from './support.js';

const size = { vcpu: 1, memoryMib: 2_048, storageGib: 10 };
const keyed = { idempotencyKey: 'stored-key' };
const fenced = { ...keyed, ifMatch: '7' };
const MACHINE = 'GET /v1/machines/dm-1';
const CREATE = 'POST /v1/machines';
const PROBE = 'PATCH /v1/machines/dm-00000000-0000-4000-8000-000000000000';

let api: FakeApi;
beforeEach(async () => {
  api = await startFakeApi();
});
afterEach(async () => {
  await api.close();
  vi.unstubAllEnvs();
});

describe('what is sent', () => {
  test('both authentication headers, the organisation and the stored key; the environment is not read', async () => {
    vi.stubEnv('DEDALUS_BASE_URL', 'http://127.0.0.1:1');
    vi.stubEnv('DEDALUS_API_KEY', 'other');
    vi.stubEnv('DEDALUS_ORG_ID', 'other');
    vi.stubEnv('DEDALUS_PROVIDER_KEY', 'other');
    api.script({ [CREATE]: { status: 202, body: nested({ phase: 'accepted' }) } });
    await provider(`${api.url}/`, { organizationId: 'org-1' }).create({ ...size, autosleepSeconds: 600 }, keyed);
    const { headers, body } = api.asked[0]!;
    expect(headers).toMatchObject({
      authorization: `Bearer ${KEY}`,
      'x-api-key': KEY,
      'x-dedalus-org-id': 'org-1',
      'idempotency-key': 'stored-key',
    });
    expect(JSON.stringify(headers)).not.toContain('other');
    expect(body).toEqual({ vcpu: 1, memory_mib: 2_048, storage_gib: 10 });
  });

  test('ids are opaque: encoded whole', async () => {
    await provider(api.url).find('dm-1/../x?y');
    expect(api.routes()).toEqual(['GET /v1/machines/dm-1%2F..%2Fx%3Fy']);
  });

  test('the revision as If-Match on wake, sleep and destroy, unless switched off or absent', async () => {
    api.script({
      'POST /v1/machines/dm-1/wake': { status: 202, body: nested() },
      'POST /v1/machines/dm-1/sleep': { status: 202, body: nested() },
      'DELETE /v1/machines/dm-1': { status: 202, body: nested() },
    });
    const one = provider(api.url);
    await one.wake('dm-1', fenced);
    await one.sleep('dm-1', fenced);
    await one.destroy('dm-1', fenced);
    await one.wake('dm-1', { ...keyed, ifMatch: undefined });
    await provider(api.url, { sendIfMatch: false }).wake('dm-1', fenced);
    expect(api.asked.map((call) => call.headers['if-match'])).toEqual(['7', '7', '7', undefined, undefined]);
    expect(new Set(api.asked.map((call) => call.headers['idempotency-key']))).toEqual(new Set(['stored-key']));
  });
});

describe('machine bodies', () => {
  test('nested, with everything in it', async () => {
    api.script({
      [MACHINE]: {
        status: 200,
        body: nested({ last_error: 'x' }, { autosleep_seconds: 300 }),
        headers: { etag: '"9"' },
      },
    });
    expect(await provider(api.url).find('dm-1')).toEqual({
      ...size,
      machineId: 'dm-1',
      phase: 'running',
      desiredState: 'running',
      revision: '7',
      reason: 'DesiredStateReached',
      lastError: 'x',
      lastTransitionAt: '2026-08-05T10:00:00Z',
      autosleepSeconds: 300,
    });
  });

  test.each(['"9"', 'W/"9"', '9'])('flat, with its revision as ETag %s', async (etag) => {
    const body = {
      machine_id: 'a',
      vcpu: 1,
      memory_mib: 2_048,
      storage_gib: 10,
      desired_state: 'sleeping',
      phase: 'stopping',
    };
    api.script({ 'POST /v1/machines/a/sleep': { status: 202, body, headers: { etag } } });
    expect(await provider(api.url).sleep('a', fenced)).toMatchObject({
      phase: 'stopping',
      desiredState: 'sleeping',
      revision: '9',
      lastTransitionAt: undefined,
      autosleepSeconds: undefined,
    });
  });

  test('a phase that is in no list is a transition', async () => {
    api.script({ [MACHINE]: { status: 200, body: nested({ phase: 'wake_pending' }) } });
    expect((await provider(api.url).find('dm-1'))?.phase).toBe('in_transition');
  });

  test('gone is undefined: 404, or a destroyed body; a web page is not believed', async () => {
    const one = provider(api.url);
    expect(await one.find('dm-1')).toBeUndefined();
    api.script({ [MACHINE]: { status: 200, body: nested({ phase: 'destroyed' }) } });
    expect(await one.find('dm-1')).toBeUndefined();
    api.script({ [MACHINE]: { status: 404, text: '<html>', headers: { 'content-type': 'text/html' } } });
    expect((await failure(one.find('dm-1'))).code).toBe('PROVIDER_REFUSED');
  });

  test('an accepted change without a body is read anew', async () => {
    api.script({
      'POST /v1/machines/dm-1/wake': { status: 204 },
      [MACHINE]: { status: 200, body: nested({ phase: 'starting' }) },
    });
    expect((await provider(api.url).wake('dm-1', fenced)).phase).toBe('starting');
  });

  test('lists: null items, pages, and the end', async () => {
    const one = provider(api.url);
    api.script({ 'GET /v1/machines': { status: 200, body: { items: null } } });
    expect(await one.list()).toEqual({ machines: [], nextCursor: undefined });
    api.script({
      'GET /v1/machines?limit=1&cursor=c%2F1': {
        status: 200,
        body: { items: [nested(), { broken: true }], next_cursor: 'c2' },
      },
    });
    const page = await one.list({ limit: 1, cursor: 'c/1' });
    expect(page.machines.map((machine) => machine.machineId)).toEqual(['dm-1']);
    expect(page.nextCursor).toBe('c2');
    api.script({ 'GET /v1/machines': { status: 200, body: { items: [], next_cursor: '' } } });
    expect((await one.list()).nextCursor).toBeUndefined();
  });

  test('ids are the same with and without their prefix', () => {
    expect(sameMachineId('dm-019fd32e', '019fd32e')).toBe(true);
    expect(sameMachineId('dm-1', 'dm-2')).toBe(false);
  });
});

describe('autosleep', () => {
  const unknown = {
    status: 422,
    body: { errors: [{ location: 'body.unknown_on_purpose', message: 'unexpected property' }] },
  };
  const both = {
    status: 422,
    body: { errors: [...unknown.body.errors, { location: 'body.autosleep', message: 'unexpected property' }] },
  };

  test.each([
    ['an API that knows the field', unknown, '600', true],
    ['an API that does not', both, undefined, false],
    ['an API that does not say', { status: 404, body: {} }, undefined, false],
    ['an API that breaks over the question', { status: 500, body: {} }, undefined, false],
  ])('asked once of %s', async (_, answer, sent, takes) => {
    api.script({ [PROBE]: answer, [CREATE]: { status: 202, body: nested() } });
    const one = provider(api.url, { takesAutosleep: 'auto' });
    await one.create({ ...size, autosleepSeconds: 600 }, keyed);
    await one.create({ ...size, autosleepSeconds: 600 }, keyed);
    const created = api.asked.filter((call) => call.route === CREATE);
    expect(created.map((call) => (call.body as { autosleep?: string }).autosleep)).toEqual([sent, sent]);
    expect(api.routes().filter((route) => route === PROBE)).toHaveLength(1);
    expect(one.takesAutosleep).toBe(takes);
  });

  test('nothing is created while the API cannot be asked', async () => {
    api.script({ [PROBE]: [{ status: 503, body: {} }, unknown], [CREATE]: { status: 202, body: nested() } });
    const one = provider(api.url, { takesAutosleep: 'auto' });
    expect((await failure(one.create({ ...size, autosleepSeconds: 600 }, keyed))).code).toBe('PROVIDER_UNAVAILABLE');
    expect(api.routes()).not.toContain(CREATE);
    await one.settle();
    expect(one.takesAutosleep).toBe(true);
  });

  test('by setting, nothing is asked', async () => {
    api.script({ [CREATE]: { status: 202, body: nested() } });
    await provider(api.url, { takesAutosleep: true }).create({ ...size, autosleepSeconds: 600 }, keyed);
    await provider(api.url, { takesAutosleep: true }).create({ ...size, autosleepSeconds: undefined }, keyed);
    const created = api.asked.filter((call) => call.route === CREATE);
    expect(created.map((call) => (call.body as { autosleep?: string }).autosleep)).toEqual(['600', undefined]);
    expect(api.routes()).not.toContain(PROBE);
  });

  test('until asked, machine bodies are evidence', async () => {
    api.script({ [MACHINE]: { status: 200, body: nested({}, { autosleep_seconds: 0 }) } });
    const one = provider(api.url, { takesAutosleep: 'auto' });
    await one.find('dm-1');
    expect(one.takesAutosleep).toBe(true);
  });
});

describe('memory autoresizing', () => {
  const PUT = 'PUT /v1/machines/dm-1/autoresizing';

  test('is switched off behind each creation', async () => {
    api.script({
      [CREATE]: { status: 202, body: nested() },
      [PUT]: [
        { status: 503, body: { retry_after_ms: 1 } },
        { status: 200, body: {} },
      ],
    });
    await provider(api.url).create({ ...size, autosleepSeconds: undefined }, keyed);
    expect(api.routes()).toEqual([CREATE, PUT, PUT]);
    expect(api.asked[1]!.body).toEqual({ enabled: false });
    expect(api.asked.map((call) => call.headers['idempotency-key'])).toEqual(['stored-key', 'new-key-1', 'new-key-2']);
  });

  test('where the route does not exist it is asked once', async () => {
    api.script({ [CREATE]: { status: 202, body: nested() } });
    const one = provider(api.url);
    await one.create({ ...size, autosleepSeconds: undefined }, keyed);
    await one.create({ ...size, autosleepSeconds: undefined }, keyed);
    expect(api.routes()).toEqual([CREATE, PUT, CREATE]);
  });

  test('a machine is not given up for it', async () => {
    api.script({ [CREATE]: { status: 202, body: nested() }, [PUT]: { status: 500, body: { retry_after_ms: 1 } } });
    const warn = vi.fn();
    const created = await provider(api.url, { log: { warn } }).create({ ...size, autosleepSeconds: undefined }, keyed);
    expect(created.machineId).toBe('dm-1');
    expect(warn).toHaveBeenCalledOnce();
  });
});

describe('refusals', () => {
  const coded = (code: string, extra: object = {}) => ({ error_code: code, message: 'm', retryable: false, ...extra });

  test.each([
    [409, coded('REVISION_MISMATCH'), 'REVISION_CONFLICT'],
    [412, {}, 'REVISION_CONFLICT'],
    [409, coded('INVALID_STATE'), 'MACHINE_INVALID_STATE'],
    [409, {}, 'MACHINE_INVALID_STATE'],
    [409, coded('IDEMPOTENCY_KEY_REUSED'), 'PROVIDER_KEY_REUSED'],
    [400, coded('IDEMPOTENCY_KEY_REUSED'), 'PROVIDER_KEY_REUSED'],
    [429, coded('RATE_LIMITED'), 'PROVIDER_RATE_LIMITED'],
    [429, {}, 'PROVIDER_RATE_LIMITED'],
    [401, coded('AUTH_INVALID'), 'PROVIDER_UNAUTHORIZED'],
    [403, coded('BETA_ACCESS_REQUIRED'), 'PROVIDER_UNAUTHORIZED'],
    [404, {}, 'MACHINE_LOST'],
    [400, { detail: 'memory_mib exceeds capacity' }, 'PROVIDER_REFUSED'],
    [422, {}, 'PROVIDER_REFUSED'],
    [302, {}, 'PROVIDER_REFUSED'],
    [408, {}, 'PROVIDER_UNAVAILABLE'],
    [500, {}, 'PROVIDER_UNAVAILABLE'],
    [502, {}, 'PROVIDER_UNAVAILABLE'],
    [503, coded('DEPENDENCY_UNAVAILABLE'), 'PROVIDER_UNAVAILABLE'],
    [501, {}, 'PROVIDER_ROUTE_CLOSED'],
  ])('%i %j is %s, asked once', async (status, body, code) => {
    api.script({ 'POST /v1/machines/dm-1/sleep': { status, body, headers: { location: '/x' } } });
    expect((await failure(provider(api.url).sleep('dm-1', fenced))).code).toBe(code);
    expect(api.asked).toHaveLength(1);
  });

  test.each([
    [{ retry_after_ms: 84 }, { 'retry-after-ms': '500', 'retry-after': '9' }, 84],
    [{}, { 'retry-after-ms': '500', 'retry-after': '9' }, 500],
    [{}, { 'retry-after': '9' }, 9_000],
    [{}, { 'retry-after': 'Mon, 01 Jan 2001 00:00:00 GMT' }, 0],
    [{}, { 'retry-after': 'soon' }, undefined],
    [{ retry_after_ms: 1e12 }, {}, 300_000],
    [{}, {}, undefined],
  ])('retry hints %j %j are %s ms', async (body, headers, ms) => {
    api.script({ [MACHINE]: { status: 429, body, headers } });
    expect((await failure(provider(api.url).find('dm-1'))).retryAfterMs).toBe(ms);
  });

  test("the provider's words are kept, without secrets, queries and line breaks", async () => {
    const words = `key ${KEY} at wss://h/s?token=abc Authorization: Bearer xyz\r\n\u001b[31mred`;
    api.script({ [MACHINE]: { status: 400, body: { message: words, error_code: 'ODD' } } });
    const error = await failure(provider(api.url).find('dm-1'));
    expect(error.message).toContain('400 ODD: key [key] at wss://h/s?[query] Authorization: Bearer [key] [31mred');
    expect(error.details).toMatchObject({ status: 400, providerCode: 'ODD' });
  });

  test.each(['before', 'in the body'] as const)('a connection lost %s is PROVIDER_UNAVAILABLE', async (cut) => {
    api.script({ [CREATE]: { cut } });
    expect((await failure(provider(api.url).create({ ...size, autosleepSeconds: undefined }, keyed))).code).toBe(
      'PROVIDER_UNAVAILABLE',
    );
  });

  test('an accepted creation that names no machine is asked again, not believed', async () => {
    api.script({ [CREATE]: { status: 200, text: 'ok', headers: { 'content-type': 'text/plain' } } });
    expect((await failure(provider(api.url).create({ ...size, autosleepSeconds: undefined }, keyed))).code).toBe(
      'PROVIDER_UNAVAILABLE',
    );
  });

  test('an answer that does not come runs into its limit; aborting throws the reason of the signal', async () => {
    const hanging: typeof fetch = async (_, init) =>
      await new Promise((_resolve, reject) => {
        init?.signal?.addEventListener('abort', () => reject(init.signal?.reason as Error));
      });
    const slow = await failure(provider(api.url, { fetch: hanging, requestTimeoutMs: 20 }).find('dm-1'));
    expect(slow.code).toBe('PROVIDER_UNAVAILABLE');
    const stop = new AbortController();
    const reason = new Error('the lane was cancelled');
    const run = provider(api.url, { fetch: hanging }).find('dm-1', { signal: stop.signal });
    stop.abort(reason);
    await expect(run).rejects.toBe(reason);
  });
});

describe('routes closed to our key', () => {
  const closed = { status: 401, body: { error_code: 'AUTH_INVALID', message: 'missing internal route signature' } };

  test('wake goes by a no-op execution', async () => {
    api.script({
      'POST /v1/machines/dm-1/wake': closed,
      'POST /v1/machines/dm-1/executions': { status: 200, body: { execution_id: 'e' } },
      [MACHINE]: { status: 200, body: nested({ phase: 'starting' }) },
    });
    expect((await provider(api.url).wake('dm-1', fenced)).phase).toBe('starting');
    expect(api.asked[1]!.body).toMatchObject({ command: ['/bin/true'] });
    expect(api.asked[1]!.headers['idempotency-key']).toBe('new-key-1');
  });

  test('sleep is left to autosleep', async () => {
    api.script({ 'POST /v1/machines/dm-1/sleep': closed });
    expect((await failure(provider(api.url).sleep('dm-1', fenced))).code).toBe('PROVIDER_ROUTE_CLOSED');
  });
});

describe('destroy', () => {
  const DELETE = 'DELETE /v1/machines/dm-1';

  test.each([
    ['404 at once', { [DELETE]: { status: 404, body: {} } }],
    ['500, then gone', { [DELETE]: { status: 500, body: {} } }],
    [
      '500, then destroying',
      { [DELETE]: { status: 500, body: {} }, [MACHINE]: { status: 200, body: nested({ phase: 'destroying' }) } },
    ],
    [
      'no answer, then destroyed',
      { [DELETE]: { cut: 'before' as const }, [MACHINE]: { status: 200, body: nested({ phase: 'destroyed' }) } },
    ],
    [
      'refused because it is on its way',
      {
        [DELETE]: { status: 409, body: { error_code: 'INVALID_STATE', message: 'm', retryable: false } },
        [MACHINE]: { status: 200, body: nested({ phase: 'in doubt' }, { desired_state: 'destroyed' }) },
      },
    ],
  ])('is done: %s', async (_, script) => {
    api.script(script);
    await provider(api.url).destroy('dm-1', fenced);
  });

  test('is not done: 500 and the machine runs on', async () => {
    api.script({ [DELETE]: { status: 500, body: {} }, [MACHINE]: { status: 200, body: nested() } });
    expect((await failure(provider(api.url).destroy('dm-1', fenced))).code).toBe('PROVIDER_UNAVAILABLE');
  });

  test('is not done: 500 and nobody can say', async () => {
    api.script({ [DELETE]: { status: 500, body: { message: 'ledger' } }, [MACHINE]: { status: 503, body: {} } });
    expect((await failure(provider(api.url).destroy('dm-1', fenced))).message).toContain('ledger');
  });

  test('a conflict is a conflict', async () => {
    api.script({ [DELETE]: { status: 409, body: { error_code: 'REVISION_MISMATCH', message: 'm', retryable: true } } });
    expect((await failure(provider(api.url).destroy('dm-1', fenced))).code).toBe('REVISION_CONFLICT');
    expect(api.asked).toHaveLength(1);
  });
});
