/**
 * Goal: an execution's document is read as what it means: a result only where the command ran, a refusal where it did not, and
 * nothing made up. Method: a scripted local server.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startFakeApi, type FakeApi } from './fake-api.js';
import { failure, nested, provider } from './support.js';

const BASE = '/v1/machines/dm-1/executions';
const CREATE = `POST ${BASE}`;
const READ = `GET ${BASE}/e1`;
const OUTPUT = `GET ${BASE}/e1/output`;
const MACHINE = 'GET /v1/machines/dm-1';
const request = { argv: ['/bin/sh', '-c', 'true'], timeoutMs: 5_000 };
const keyed = { idempotencyKey: 'stored-key' };

let api: FakeApi;
beforeEach(async () => {
  api = await startFakeApi();
});
afterEach(async () => {
  await api.close();
});

function document(status: string, extra: object = {}): { status: number; body: object } {
  return {
    status: 200,
    body: { execution_id: 'e1', machine_id: 'dm-1', status, command: [], created_at: 'x', ...extra },
  };
}

test('submits, polls to the end and reads the output; names in the environment stay as they are', async () => {
  api.script({
    [CREATE]: document('wake_in_progress'),
    [READ]: [
      document('queued'),
      document('running'),
      document('failed', { exit_code: 7, stdout_bytes: 3, stderr_bytes: 1 }),
    ],
    [OUTPUT]: { status: 200, body: { execution_id: 'e1', stdout: 'out', stderr: 'e', stdout_truncated: true } },
  });
  const result = await provider(api.url).execute(
    'dm-1',
    { ...request, cwd: '/tmp', env: { PATH: '/bin', someName: '1' }, stdin: 'in' },
    keyed,
  );
  expect(result).toEqual({
    executionId: 'e1',
    exitCode: 7,
    signal: undefined,
    expired: false,
    stdout: 'out',
    stderr: 'e',
    stdoutTruncated: true,
  });
  expect(api.routes()).toEqual([CREATE, READ, READ, READ, OUTPUT]);
  expect(api.asked[0]!.headers['idempotency-key']).toBe('stored-key');
  expect(api.asked[0]!.body).toEqual({
    command: request.argv,
    cwd: '/tmp',
    env: { PATH: '/bin', someName: '1' },
    stdin: 'in',
    timeout_ms: 5_000,
  });
});

test('a command that said nothing costs no further request', async () => {
  api.script({ [CREATE]: document('succeeded', { exit_code: 0, stdout_bytes: 0, stderr_bytes: 0 }) });
  expect(await provider(api.url).execute('dm-1', request, keyed)).toMatchObject({ exitCode: 0, stdout: '' });
  expect(api.routes()).toEqual([CREATE]);
});

describe('ends without an exit code', () => {
  test.each([
    ['expired', { error_code: 'execution_timed_out' }, { expired: true, exitCode: undefined }],
    ['failed', { signal: 'KILL' }, { expired: false, exitCode: undefined, signal: 'KILL' }],
    ['cancelled', {}, { expired: false, exitCode: undefined, signal: undefined }],
  ])('%s %j', async (status, extra, expected) => {
    api.script({ [CREATE]: document(status, extra), [OUTPUT]: { status: 200, body: { execution_id: 'e1' } } });
    expect(await provider(api.url).execute('dm-1', request, keyed)).toMatchObject(expected);
  });
});

describe('refusals of the platform, though every call answered 200', () => {
  test.each(['machine_not_routable', 'host_agent_execute_failed', 'execution_runner_prepare_failed'])(
    '%s',
    async (code) => {
      api.script({ [CREATE]: document('failed', { error_code: code, error_message: 'no' }) });
      const error = await failure(provider(api.url).execute('dm-1', request, keyed));
      expect(error).toMatchObject({ code: 'GUEST_UNREACHABLE', details: { refused: true, providerCode: code } });
      expect(api.routes()).toEqual([CREATE]);
    },
  );

  test('machine_not_found is believed only when the machine itself is gone', async () => {
    const refused = document('failed', { error_code: 'machine_not_found', error_message: 'machine no longer exists' });
    api.script({ [CREATE]: refused, [MACHINE]: { status: 200, body: nested() } });
    expect((await failure(provider(api.url).execute('dm-1', request, keyed))).code).toBe('GUEST_UNREACHABLE');
    api.script({ [CREATE]: refused });
    expect((await failure(provider(api.url).execute('dm-1', request, keyed))).code).toBe('MACHINE_LOST');
  });
});

describe('trouble on the way', () => {
  test('reads that fail in passing are repeated, the submission is not', async () => {
    api.script({
      [CREATE]: document('running'),
      [READ]: [
        { status: 503, body: { retry_after_ms: 1 } },
        { cut: 'before' },
        document('succeeded', { exit_code: 0 }),
      ],
      [OUTPUT]: [{ cut: 'in the body' }, { status: 200, body: { stdout: 'x' } }],
    });
    expect(await provider(api.url).execute('dm-1', request, keyed)).toMatchObject({ exitCode: 0, stdout: 'x' });
    expect(api.routes().filter((route) => route === CREATE)).toHaveLength(1);
  });

  test('a provider that stays away is PROVIDER_UNAVAILABLE', async () => {
    api.script({ [CREATE]: document('running'), [READ]: { status: 503, body: { retry_after_ms: 1 } } });
    expect((await failure(provider(api.url).execute('dm-1', request, keyed))).code).toBe('PROVIDER_UNAVAILABLE');
    expect(api.routes().filter((route) => route === READ)).toHaveLength(5);
  });

  test.each([
    [{ status: 503, body: {} }, 'PROVIDER_UNAVAILABLE'],
    [{ status: 404, body: {} }, 'MACHINE_LOST'],
    [{ status: 429, body: { retry_after_ms: 250 } }, 'PROVIDER_RATE_LIMITED'],
  ])('a submission answered %j is %s', async (answer, code) => {
    api.script({ [CREATE]: answer });
    expect((await failure(provider(api.url).execute('dm-1', request, keyed))).code).toBe(code);
  });

  test('aborting ends the wait', async () => {
    const stop = new AbortController();
    const reason = new Error('cancelled');
    api.script({
      [CREATE]: document('running'),
      [READ]: () => {
        stop.abort(reason);
        return document('running');
      },
    });
    await expect(provider(api.url).execute('dm-1', request, { ...keyed, signal: stop.signal })).rejects.toBe(reason);
  });
});
