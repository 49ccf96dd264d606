/** Tool calls: what compiles, what the model is told of what does not, and what the scripts do to real files. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { toolDefinitions } from '../../../src/contracts/tools.js';
import { bodyHash, compileToolCall } from '../../../src/guest/tools.js';

function problemOf(name: string, argumentsJson: string): string {
  const compiled = compileToolCall(name, argumentsJson);
  if (compiled.ok) throw new Error('it compiles');
  return compiled.problem;
}
function compiled(name: string, values: object): Extract<ReturnType<typeof compileToolCall>, { ok: true }> {
  const call = compileToolCall(name, JSON.stringify(values));
  if (!call.ok) throw new Error(call.problem);
  return call;
}

describe('compiling', () => {
  test('bash: the command is the script and its history line', () => {
    expect(compiled('bash', { command: 'ls\n  -l' })).toEqual({
      ok: true,
      script: 'ls\n  -l',
      historyLine: 'ls\n  -l',
      timeoutMs: 120_000,
      title: 'ls -l',
    });
    expect(compiled('bash', { command: 'ls', timeout: 0.5 }).timeoutMs).toBe(500);
    expect(compiled('bash', { command: 'ls', timeout: 1e9 }).timeoutMs).toBe(1_800_000);
    expect(compiled('bash', { command: 'ls', timeout: null }).timeoutMs).toBe(120_000);
    expect([...compiled('bash', { command: 'é'.repeat(500) }).title].length).toBe(120);
  });

  test.each([
    ['nothing', '{}', /no tool named "nothing"/],
    ['bash', '{"command":', /not valid JSON/],
    ['bash', '[]', /one JSON object/],
    ['bash', 'null', /one JSON object/],
    ['bash', '', /"command" must be text/],
    ['bash', '{"command":"  "}', /"command" must be text/],
    ['bash', '{"command":3}', /"command" must be text/],
    ['bash', '{"command":"a\\u0000b"}', /NUL/],
    ['bash', '{"command":"ls","timeout":"10"}', /"timeout" must be a number/],
    ['bash', '{"command":"ls","timeout":-1}', /"timeout" must be a number/],
    ['bash', '{"command":"ls","cwd":"/"}', /no argument "cwd"/],
    ['write_file', '{"path":"","content":""}', /"path" must be text/],
    ['write_file', '{"path":"x"}', /"content" must be text/],
    ['read_file', '{"path":"x","offset":0}', /"offset" must be a whole number/],
    ['read_file', '{"path":"x","limit":1.5}', /"limit" must be a whole number/],
    ['read_file', '{"path":"a\\u0000b"}', /NUL/],
  ])('%s %s is refused with a sentence for the model', (name, json, words) => {
    expect(problemOf(name, json)).toMatch(words);
  });

  test('every schema forbids what compiling refuses', () => {
    expect(toolDefinitions.map((tool) => tool.name)).toEqual(['bash', 'write_file', 'read_file']);
    for (const tool of toolDefinitions) expect(tool.parameters['additionalProperties']).toBe(false);
  });

  test('a body’s hash depends on all of it, and on nothing else', () => {
    const body = { script: 'a', historyLine: undefined, timeoutMs: 1, outputHeadBytes: 2, outputTailBytes: 3 };
    const changes = [
      { script: 'b' },
      { historyLine: '' },
      { timeoutMs: 2 },
      { outputHeadBytes: 3 },
      { outputTailBytes: 2 },
    ];
    const hashes = [body, ...changes.map((change) => ({ ...body, ...change }))].map(bodyHash);
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(bodyHash(body)).toBe('cf91d1ca7be4fd37ade33f845562bbf59798d079ac253f460fff41798729db9f');
  });
});

describe('file scripts', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'guest-tools-'));
  });
  afterEach(() => {
    rmSync(dir, { recursive: true });
  });
  function execute(name: string, values: object): { status: number | null; stdout: string; stderr: string } {
    const { script } = compiled(name, values);
    const { status, stdout, stderr } = spawnSync('bash', ['-s'], {
      input: `umask 022\n${script}`,
      cwd: dir,
      env: { PATH: process.env['PATH'], HOME: dir },
    });
    return { status, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  test('write_file writes exact bytes, makes folders and leaves nothing else', () => {
    const contents = [
      '',
      'no newline',
      'é\r\n\tEND_OF_CONTENT\n$HOME `id` \\ \' "\n',
      '\0binary\0',
      'x'.repeat(200_000),
    ];
    for (const content of contents) {
      const path = `new dir/it's/${content.length}.txt`;
      expect(execute('write_file', { path, content })).toMatchObject({ status: 0, stderr: '' });
      expect(readFileSync(join(dir, path), 'utf8')).toBe(content);
    }
    expect(readdirSync(join(dir, "new dir/it's")).sort()).toEqual(contents.map((c) => `${c.length}.txt`).sort());
    expect(statSync(join(dir, "new dir/it's/0.txt")).mode & 0o777).toBe(0o644);
  });

  test('write_file keeps the mode, follows links, and takes odd paths', () => {
    writeFileSync(join(dir, 'tool.sh'), 'old');
    chmodSync(join(dir, 'tool.sh'), 0o751);
    symlinkSync('tool.sh', join(dir, 'link'));
    expect(execute('write_file', { path: 'link', content: 'new' }).status).toBe(0);
    expect(readFileSync(join(dir, 'tool.sh'), 'utf8')).toBe('new');
    expect(statSync(join(dir, 'tool.sh')).mode & 0o777).toBe(0o751);
    expect(lstatSync(join(dir, 'link')).isSymbolicLink()).toBe(true);
    for (const path of ['-n', '~/sub/home', '~x', '*', '$HOME', 'a\nb']) {
      expect(execute('write_file', { path, content: path })).toMatchObject({ status: 0 });
      expect(readFileSync(join(dir, path.replace('~/', '')), 'utf8')).toBe(path);
    }
  });

  test('write_file refuses a directory and changes nothing where it fails', () => {
    mkdirSync(join(dir, 'folder'));
    expect(execute('write_file', { path: 'folder', content: 'x' })).toMatchObject({ status: 1 });
    expect(execute('write_file', { path: 'new/', content: 'x' })).toMatchObject({ status: 1 });
    expect(execute('write_file', { path: '/proc/none/x', content: 'x' }).status).toBe(1);
    expect(readdirSync(dir)).toEqual(['folder']);
  });

  test('read_file shows the lines asked for, and says what it left out', () => {
    writeFileSync(join(dir, 'lines'), Array.from({ length: 5_000 }, (_, index) => `line ${index + 1}\n`).join(''));
    expect(execute('read_file', { path: 'lines', offset: 4_999 }).stdout).toBe('line 4999\nline 5000\n');
    expect(execute('read_file', { path: 'lines', offset: 2, limit: 2 }).stdout).toBe(
      'line 2\nline 3\n\n[lines 2 to 3 of 5000 were asked for]\n',
    );
    expect(execute('read_file', { path: 'lines', offset: 9_000 }).stdout).toBe('');
    writeFileSync(join(dir, 'wide'), 'x'.repeat(100_000));
    const wide = execute('read_file', { path: 'wide' }).stdout;
    expect(wide).toMatch(/\[only the first 29696 of 100000 bytes of these lines are shown\]\n$/);
    expect(wide.length).toBeLessThan(30 * 1024);
  });

  test('read_file says why it cannot', () => {
    mkdirSync(join(dir, 'folder'));
    expect(execute('read_file', { path: 'none' })).toMatchObject({
      status: 1,
      stderr: 'read_file: none does not exist\n',
    });
    expect(execute('read_file', { path: 'folder' })).toMatchObject({
      status: 1,
      stderr: 'read_file: folder is a directory\n',
    });
    expect(execute('read_file', { path: '/dev/zero' }).status).toBe(1);
  });
});
