/** Goal: executions run real commands in real sandboxes, and their documents tell results from refusals. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../support/wait-for.js';
import { TestEmulator } from './support.js';

let emulator: TestEmulator;
let id: string;
beforeAll(async () => {
  emulator = await TestEmulator.start('g2');
  id = await emulator.machine();
});
afterAll(() => emulator.stop());

describe('an execution', () => {
  it('reports exit code, output, directory and environment', async () => {
    const { document, output } = await emulator.exec(id, ['/bin/sh', '-c', 'pwd; echo $X; cat; echo no >&2; exit 3'], {
      cwd: '/tmp',
      env: { X: 'given' },
      stdin: 'typed\n',
    });
    expect(document).toMatchObject({ status: 'failed', exit_code: 3, cwd: '/tmp', env_keys: ['X'], stdout_bytes: 17 });
    expect(document['error_code']).toBeUndefined();
    expect(output).toMatchObject({ stdout: '/tmp\ngiven\ntyped\n', stderr: 'no\n', stdout_truncated: false });
  });

  it('runs argv as it stands, without a shell', async () => {
    const { output } = await emulator.exec(id, ['echo', '$HOME;', 'a  b']);
    expect(output['stdout']).toBe('$HOME; a  b\n');
  });

  it.each([
    [['no-such-program'], 127],
    [['/etc/passwd'], 126],
    [['/bin/sh', '-c', 'kill -9 $$'], 137],
  ])('answers %j with exit code %d', async (command, exitCode) => {
    const { document } = await emulator.exec(id, command);
    expect(document).toMatchObject({ status: 'failed', exit_code: exitCode });
  });

  it('expires at its timeout, without an exit code, its whole process group killed', async () => {
    const script = 'sleep 1000 & echo $! > ~/sleeper; wait';
    const { document } = await emulator.exec(id, ['/bin/bash', '-c', script], { timeout_ms: 100 });
    expect(document).toMatchObject({ status: 'expired', error_code: 'execution_timed_out' });
    expect(document['exit_code']).toBeUndefined();
    expect(await emulator.shell(id, 'kill -0 $(cat ~/sleeper) 2>/dev/null && echo alive || echo dead')).toBe('dead\n');
  });

  it('waits for background processes that hold its output, not for those that let go', async () => {
    const detached = await emulator.exec(id, ['/bin/bash', '-c', 'setsid sleep 1000 >/dev/null 2>&1 & echo let go']);
    expect(detached.document['status']).toBe('succeeded');
    const held = await emulator.exec(id, ['/bin/bash', '-c', 'sleep 1000 & echo held'], { timeout_ms: 100 });
    expect(held.document['status']).toBe('expired');
    expect(held.output['stdout']).toBe('held\n');
  });

  it('keeps the head of long output and counts the rest', async () => {
    const { document, output } = await emulator.exec(id, ['/bin/bash', '-c', 'head -c 3000000 /dev/zero | tr "\\0" é']);
    expect(document).toMatchObject({ stdout_bytes: 3_000_000, stdout_truncated: true, stderr_truncated: false });
    expect(String(output['stdout']).length).toBeLessThanOrEqual(1_048_576);
  });

  it('shares processes and /tmp with the others of its machine', async () => {
    await emulator.shell(id, 'echo seen > /tmp/shared; setsid sleep 4242 >/dev/null 2>&1 &');
    expect(await emulator.shell(id, 'cat /tmp/shared; pgrep -fx "sleep 4242" >/dev/null && echo running')).toBe(
      'seen\nrunning\n',
    );
  });

  it('leaves no zombie behind', async () => {
    await emulator.shell(id, 'for i in 1 2 3 4 5; do (setsid true >/dev/null 2>&1 &) ; done');
    await waitFor('zombies are reaped', async () => (await emulator.shell(id, 'ps -eo stat= | grep -c ^Z')) === '0\n');
  });

  it('is refused inside a 200 document', async () => {
    const { document, output } = await emulator.exec(id, ['/emulator/refuse', 'host_agent_execute_failed']);
    expect(document).toMatchObject({ status: 'failed', error_code: 'host_agent_execute_failed' });
    expect(document['exit_code']).toBeUndefined();
    expect(Object.keys(output)).toEqual(['execution_id']);
  });

  it.each([
    ['no command', {}],
    ['an empty command', { command: [] }],
    ['a NUL', { command: ['a\0b'] }],
    ['an unknown key', { command: ['true'], shell: true }],
    ['a bad timeout', { command: ['true'], timeout_ms: 0 }],
  ])('refuses %s', async (_what, body) => {
    expect((await emulator.call('POST', `/v1/machines/${id}/executions`, { body })).status).toBe(422);
  });

  it('fails with a code when its machine stops under it', async () => {
    const other = await emulator.machine();
    const path = `/v1/machines/${other}/executions`;
    const { body } = await emulator.call('POST', path, { body: { command: ['sleep', '1000'] } });
    const executionId = String(body['execution_id']);
    await waitFor('the command runs', async () => {
      const { body: document } = await emulator.call('GET', `${path}/${executionId}`);
      return document['status'] === 'running';
    });
    await emulator.change(other, 'sleep');
    const { document } = await emulator.executionEnd(other, executionId);
    expect(document).toMatchObject({ status: 'failed', error_code: 'execution_interrupted' });
    expect(document['exit_code']).toBeUndefined();
  });
});
