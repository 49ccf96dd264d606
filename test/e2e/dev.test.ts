/**
 * `innkeeper dev`, which is what `npm start` runs: one line when ready, a chat that works, data that stays, and no process left
 * after any kind of end: Ctrl-C, a kill -9 of dev, a kill -9 of dev and of its watchdog. Method: the built command as a process in
 * a group of its own, its children read from the list that it keeps and from /proc.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Child } from '../../src/dev/end-processes.js';
import { DIST_DIR } from '../../src/dev/paths.js';
import { FIXED_PORTS } from '../../src/dev/stack-settings.js';
import { identityOf, isRunning } from '../../src/dev/process-identity.js';
import { startProcess, type RunningProcess } from '../../src/dev/process.js';
import { waitFor } from '../support/wait-for.js';

const CLI = join(DIST_DIR, 'cli.js');
const ENV = { PATH: process.env['PATH'] ?? '' };

let dataDir = '';
let running: RunningProcess[] = [];

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'innkeeper-dev-'));
});
afterEach(async () => {
  await Promise.all(running.map((dev) => dev.stop({ signal: 'SIGINT', graceMs: 30_000 })));
  running = [];
  await waitFor('nothing is left of the data folder', () => processesOf(dataDir).length === 0);
  rmSync(dataDir, { recursive: true, force: true });
});

interface Ready {
  readonly temporalAddress: string;
  readonly temporalUiUrl: string;
  readonly databaseUrl: string;
  readonly emulatorUrl: string;
  readonly gatewayUrl: string;
  readonly pageUrl: string;
  readonly apiKey: string;
}

async function startDev(): Promise<{ dev: RunningProcess; ready: Ready; lines: string[] }> {
  const lines: string[] = [];
  const dev = await startProcess({
    label: 'dev',
    command: process.execPath,
    args: [CLI, 'dev', '--data', dataDir, '--ports', 'auto'],
    env: ENV,
    logFile: join(dataDir, 'dev.log'),
    onLine: (line) => lines.push(line),
  });
  running.push(dev);
  await waitFor('dev is ready', () => {
    if (dev.hasExited()) throw new Error(`dev ended:\n${dev.logTail()}`);
    return lines.length > 0;
  });
  return { dev, ready: JSON.parse(lines[0] ?? '') as Ready, lines };
}

function cli(args: readonly string[], options: { input?: string; env?: Record<string, string> } = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args, '--data', dataDir], {
    env: { ...ENV, ...options.env },
    input: options.input ?? '',
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

async function overHttp({ gatewayUrl, apiKey }: Ready, path: string): Promise<unknown> {
  return (await fetch(`${gatewayUrl}${path}`, { headers: { authorization: `Bearer ${apiKey}` } })).json();
}

function children(): Child[] {
  return JSON.parse(readFileSync(join(dataDir, 'children.json'), 'utf8')) as Child[];
}

/** Every process that has the data folder on its command line: parts, sandboxes, watchers of them; not the test itself. */
function processesOf(folder: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder) && identityOf(pid) !== undefined;
      } catch {
        return false; // It ended while the list was read, or is no process.
      }
    });
}

describe('innkeeper dev', () => {
  it('answers a message, shows it afterwards, and finds everything again after a Ctrl-C', async () => {
    const first = await startDev();
    expect(first.ready).toMatchObject({
      temporalAddress: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as string,
      temporalUiUrl: expect.stringMatching(/^http:/) as string,
      databaseUrl: expect.stringMatching(/^postgres:/) as string,
      emulatorUrl: expect.stringMatching(/^http:/) as string,
    });
    expect((await fetch(first.ready.temporalUiUrl)).status).toBe(200);
    expect(first.ready.pageUrl).toBe(`${first.ready.gatewayUrl}/#key=${first.ready.apiKey}`);

    const chat = cli(['chat', '--user', 'ada'], { input: '$ echo kept > note; uname -s\n' });
    expect(chat.stdout).toContain('$ echo kept > note; uname -s\n  Linux');
    const { turns } = JSON.parse(cli(['turns', '--user', 'ada', '--json']).stdout) as { turns: { turnId: string }[] };
    expect(cli(['show', '--user', 'ada', '--turn', turns[0]?.turnId ?? '']).stdout).toContain('completed');
    expect(cli(['users']).stdout).toMatch(/^ada +ready +1 +0 +1/m);
    expect(cli(['usage']).stdout).toMatch(/^ada +\d/m);
    expect(cli(['doctor', '--json']).status).toBe(0);

    const refused = cli(['dev', '--ports', 'auto']);
    expect(refused.stderr).toContain(`DATA_IN_USE: Process ${first.dev.pid}`);
    expect(refused.status).toBe(2);

    first.dev.signal('SIGINT');
    expect(await first.dev.exited).toEqual({ code: 0, signal: null });
    expect(first.lines).toHaveLength(1);
    expect(processesOf(dataDir)).toEqual([]);

    const second = await startDev();
    expect(second.ready.apiKey).toBe(first.ready.apiKey);
    expect(await overHttp(second.ready, '/v1/users')).toMatchObject({ items: [{ userId: 'ada' }] });
    expect(await overHttp(second.ready, '/readyz')).toMatchObject({ parts: { postgres: true, temporal: true } });
    const again = cli(['chat', '--user', 'ada'], { input: '$ cat note ~/.bash_history\n' });
    expect(again.stdout).toContain('  kept\n  echo kept > note; uname -s');
  });

  it('leaves nothing behind when it is killed', async () => {
    const { dev } = await startDev();
    const parts = children();
    expect(parts.map(({ label }) => label).toSorted()).toEqual([
      'emulator',
      'gateway',
      'postgres',
      'temporal',
      'worker',
    ]);
    dev.signal('SIGKILL');
    await waitFor('the watchdog ended every part', () => !parts.some(isRunning));
  });

  it('ends what a run left behind whose watchdog was killed too, and starts', async () => {
    const { dev } = await startDev();
    const parts = children();
    // The watchdog is no part: it is the one other child of dev.
    const watchdog = childrenOf(dev.pid).find((pid) => !parts.some((part) => part.pid === pid)) ?? 0;
    process.kill(watchdog, 'SIGKILL');
    dev.signal('SIGKILL');
    await dev.exited;
    expect(parts.every(isRunning)).toBe(true);
    const second = await startDev();
    expect(parts.some(isRunning)).toBe(false);
    expect(second.dev.logTail()).toContain('ended what an earlier, killed run left behind');
  });

  it('starts a part again that was killed, and says so', async () => {
    const { dev } = await startDev();
    for (const label of ['worker', 'postgres', 'temporal', 'emulator']) {
      const part = children().find((child) => child.label === label);
      process.kill(part?.pid ?? 0, 'SIGKILL');
      await waitFor(`${label} runs again`, () => dev.logTail().includes(`${label} ended by itself`));
    }
    await waitFor('all is well again', () => cli(['doctor']).status === 0);
    const chat = cli(['chat', '--user', 'ada'], { input: '$ echo back\n' });
    expect(chat.stdout).toContain('\n  back\n');
  });

  it('stops at a SIGTERM in the middle of its start', async () => {
    const dev = await startProcess({
      label: 'dev',
      command: process.execPath,
      args: [CLI, 'dev', '--data', dataDir, '--ports', 'auto'],
      env: ENV,
      logFile: join(dataDir, 'dev.log'),
    });
    await waitFor('it has begun to start parts', () => existsSync(join(dataDir, 'children.json')));
    dev.signal('SIGTERM');
    expect(await dev.exited).toEqual({ code: 0, signal: null });
    expect(processesOf(dataDir)).toEqual([]);
  });
});

describe('innkeeper dev refuses to start', () => {
  it('on settings that cannot work, all at once, without showing a secret or touching anything', () => {
    const env = {
      DEDALUS_MACHINES_BASE_URL: 'https://machines.example',
      MODEL_API_KEY: 'sk-secret-1',
      IDLE_MS: 'soon',
    };
    const { status, stderr } = cli(['dev', '--ports', 'auto'], { env });
    expect(status).toBe(2);
    for (const name of ['DEDALUS_API_KEY', 'MODEL_BASE_URL', 'MODEL_NAME', 'IDLE_MS']) expect(stderr).toContain(name);
    expect(stderr).toContain('SETTINGS_INVALID');
    expect(stderr).not.toContain('sk-secret-1');
    expect(readdirSync(dataDir)).toEqual([]);
  });

  it('on a port that is taken, naming it and its holder', async () => {
    const server = createServer();
    const { temporal: port } = FIXED_PORTS;
    // Where something else has the port already, it serves as well.
    await new Promise<void>((resolve) => {
      server.once('error', () => resolve());
      server.listen(port, '127.0.0.1', resolve);
    });
    const { status, stderr } = cli(['dev']);
    await new Promise((resolve) => server.close(resolve));
    expect(status).toBe(2);
    expect(stderr).toContain(`PORT_IN_USE: Port ${port} for Temporal is taken by `);
    expect(existsSync(join(dataDir, 'postgres'))).toBe(false);
  });
});

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
}
